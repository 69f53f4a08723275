<?php

namespace Pepper\Bus;

/** No server could be reached, so nothing was sent and nothing was stored. */
class ConnectionException extends BusException
{
}
