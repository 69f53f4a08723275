<?php

namespace Pepper\Bus;

/** The job is larger than the broker's max_job_size. Nothing was stored. */
class JobTooLargeException extends BusException
{
}
