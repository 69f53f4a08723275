<?php

namespace Pepper\Bus;

/**
 * The older in-house call, over Pepperbus: applications move by changing their configuration.
 *
 *     ProcessClient::getInstance("x")->addTask($queue, $data);
 *     (new ProcessClient("x"))->addWorker($queue, $topic, $class, $function)->do();
 *
 * "x" is the name of a configuration (PepperBus::configure($conf, "x") or $BUS_CONF["x"]);
 * where there is none of that name, the main one is used.
 */
final class ProcessClient
{
    /** @var PepperBus */
    private $bus;

    public function __construct(string $name = '')
    {
        $this->bus = PepperBus::getInstance($name !== '' && PepperBus::isConfigured($name) ? $name : null);
    }

    public static function getInstance(string $name = ''): self
    {
        return new self($name);
    }

    /**
     * @param mixed $data
     * @return string job id
     * @throws BusException as PepperBus::addJob()
     */
    public function addTask(string $queue, $data): string
    {
        return $this->bus->addJob($queue, $data);
    }

    /**
     * @param string|object $class
     * @return $this
     * @throws ConfigException registered twice
     */
    public function addWorker(string $queue, string $topic, $class, ?string $function = null): self
    {
        $this->bus->register($queue, $topic, $class, $function);
        return $this;
    }

    /** Answers the broker's request. */
    public function do(): void
    {
        $this->bus->do();
    }
}
