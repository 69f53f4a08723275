<?php

namespace Pepper\Bus;

/** The configuration is missing or wrong, or a topic was registered twice. */
class ConfigException extends BusException
{
}
