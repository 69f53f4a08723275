<?php

namespace Pepper\Bus;

/** The job or its options cannot be sent: not expressible as JSON, or an unknown option. */
class InvalidJobException extends BusException
{
}
