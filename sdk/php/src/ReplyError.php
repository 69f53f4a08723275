<?php

namespace Pepper\Bus;

/** @internal An error reply of the broker, before it is turned into a typed exception. */
final class ReplyError extends BusException
{
}
