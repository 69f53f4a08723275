<?php

namespace Pepper\Bus\Tests\Support;

/** A child process with its output in a file; ended by its pid when the object goes. */
final class Process
{
    /** @var resource */
    private $handle;
    /** @var string */
    private $log;
    /** @var int */
    private $exitCode = -1;

    /**
     * @param string[] $command
     * @param array<string,string> $env added to the environment
     */
    public function __construct(array $command, string $log, array $env = [])
    {
        $this->log = $log;
        $handle = proc_open(
            $command,
            [['file', '/dev/null', 'r'], ['file', $log, 'a'], ['file', $log, 'a']],
            $pipes,
            null,
            $env + getenv()
        );
        if ($handle === false) {
            throw new \RuntimeException("cannot start $command[0]");
        }
        $this->handle = $handle;
    }

    public function isRunning(): bool
    {
        $status = proc_get_status($this->handle);
        if (!$status['running'] && $status['exitcode'] >= 0) {
            $this->exitCode = $status['exitcode']; // PHP before 8.3 tells it only once
        }
        return $status['running'];
    }

    /** Waits for the end. */
    public function wait(float $seconds = 60): int
    {
        for ($end = microtime(true) + $seconds; $this->isRunning(); usleep(10000)) {
            if (microtime(true) > $end) {
                throw new \RuntimeException("it did not end; output:\n" . $this->output());
            }
        }
        return $this->exitCode;
    }

    public function output(): string
    {
        return (string) @file_get_contents($this->log);
    }

    /** Waits until something is true, and fails loudly when it does not become so. */
    public function waitUntil(callable $condition, string $what, float $seconds = 60): void
    {
        for ($end = microtime(true) + $seconds; microtime(true) < $end; usleep(10000)) {
            if ($condition()) {
                return;
            }
            if (!$this->isRunning()) {
                break;
            }
        }
        throw new \RuntimeException("$what did not happen; output:\n" . $this->output());
    }

    /** Ends it, if need be with force. Returns the exit code, -1 when a signal ended it. */
    public function stop(int $signal = 15): int
    {
        if (is_resource($this->handle)) {
            if ($this->isRunning()) {
                proc_terminate($this->handle, $signal);
                try {
                    $this->wait();
                } catch (\RuntimeException $e) {
                    proc_terminate($this->handle, 9);
                }
            }
            proc_close($this->handle);
        }
        return $this->exitCode;
    }

    public function __destruct()
    {
        $this->stop();
    }
}
