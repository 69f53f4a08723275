<?php

namespace Pepper\Bus;

/**
 * The job may or may not be stored.
 *
 * After addJob() the call can be made again with the option `id` set to getToken(): for 10
 * minutes the broker stores a job with the same token only once.
 */
abstract class DoubtException extends BusException
{
    /** @var string|null */
    private $token;

    public function __construct(string $message, ?string $token = null, ?BusException $previous = null)
    {
        parent::__construct($message, 0, $previous);
        $this->token = $token;
    }

    /** What to give as option `id` when adding the job again; null after addJobs(). */
    public function getToken(): ?string
    {
        return $this->token;
    }
}
