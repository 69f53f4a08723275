<?php

namespace Pepper\Bus;

/** The connection failed or timed out after the command was sent, so the job may be stored or not. */
class UnknownOutcomeException extends DoubtException
{
}
