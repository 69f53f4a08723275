<?php

namespace Pepper\Bus;

/** The broker does not know the queue. Nothing was stored. */
class QueueNotFoundException extends BusException
{
}
