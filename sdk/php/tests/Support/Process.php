<?php

namespace Pepper\Bus\Tests\Support;

/** A child process with its output in a file; ended by its pid when the object goes. */
final class Process
{
    /** @var resource */
    private $handle;
    /** @var string */
    private $log;

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
        return proc_get_status($this->handle)['running'];
    }

    public function output(): string
    {
        return (string) @file_get_contents($this->log);
    }

    /** Waits until something is true, and fails loudly when it does not become so. */
    public function waitUntil(callable $condition, string $what, float $seconds = 15): void
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

    /** @return int exit code when it could be told */
    public function stop(int $signal = 15): int
    {
        if (!is_resource($this->handle)) {
            return -1;
        }
        $status = proc_get_status($this->handle);
        $code = $status['exitcode'];
        if ($status['running']) {
            proc_terminate($this->handle, $signal);
            for ($end = microtime(true) + 10; microtime(true) < $end; usleep(10000)) {
                $status = proc_get_status($this->handle);
                if (!$status['running']) {
                    $code = $status['exitcode'];
                    break;
                }
            }
            if ($status['running']) {
                proc_terminate($this->handle, 9);
            }
        }
        proc_close($this->handle);
        return $code;
    }

    public function __destruct()
    {
        $this->stop();
    }
}
