<?php

namespace Pepper\Bus;

/** The broker does not accept the queue's password. Nothing was stored. */
class AuthException extends BusException
{
}
