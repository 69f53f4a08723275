<?php

namespace Pepper\Bus;

/** The queue's backlog limit is reached. Nothing was stored; try again later. */
class QueueFullException extends BusException
{
}
