<?php

namespace Pepper\Bus;

/**
 * The first SDK's producer: `PepperBusClient::getInstance($queue)->addJob($string)`.
 *
 * New code uses PepperBus::addJob(), which can safely try again.
 */
final class PepperBusClient
{
    /** @var string */
    private $queue;

    private function __construct(string $queue)
    {
        $this->queue = $queue;
    }

    public static function getInstance(string $queue): self
    {
        return new self($queue);
    }

    /**
     * @return string the broker's reply: {"jobs":["<id>"],"inTraceId":"...","error":""}; when
     *                "error" is not empty the job was not accepted
     * @throws ConnectionException|AuthException|ConfigException nothing was stored
     * @throws UnknownOutcomeException the job may be stored or not
     */
    public function addJob(string $job): string
    {
        return PepperBus::getInstance()->producer()->push($this->queue, [$job]);
    }
}
