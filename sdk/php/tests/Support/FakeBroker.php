<?php

namespace Pepper\Bus\Tests\Support;

/** See fake-broker.php. */
final class FakeBroker
{
    /** @var string */
    public $host = '127.0.0.1';
    /** @var int */
    public $port = 0;
    /** @var TempDir */
    private $dir;
    /** @var Process */
    private $process;

    /** @param string[] $actions */
    public function __construct(array $actions = [], bool $unix = false)
    {
        $this->dir = new TempDir();
        $address = $unix ? "unix://{$this->dir->path}/s" : 'tcp://127.0.0.1:0';
        $this->process = new Process(
            array_merge([PHP_BINARY, __DIR__ . '/fake-broker.php', $address, $this->dir->path . '/commands'], $actions),
            $this->dir->path . '/out'
        );
        $this->process->waitUntil(function (): bool {
            return preg_match('/^listening.*\n/m', $this->process->output()) === 1; // the whole line
        }, 'the fake broker listening');
        if ($unix) {
            $this->host = "unix:{$this->dir->path}/s";
        } else {
            preg_match('/:(\d+)$/', trim($this->process->output()), $m);
            $this->port = (int) $m[1];
        }
    }

    /** @return array<string,mixed> an entry of "servers" */
    public function server(float $timeout = 30.0): array
    {
        return ['host' => $this->host, 'port' => $this->port, 'timeout' => $timeout];
    }

    /** @return array<int,string[]> the commands it got, of one name or all */
    public function commands(?string $name = null): array
    {
        return array_values(array_filter(array_column($this->records(), 1), static function (array $args) use ($name): bool {
            return $name === null || $args[0] === $name;
        }));
    }

    /** How many connections sent a command. */
    public function connections(): int
    {
        return count(array_unique(array_column($this->records(), 0)));
    }

    public function stop(): void
    {
        $this->process->stop();
    }

    /**
     * A port nobody listens on, given to one test at a time: those of tests/e2e/harness take theirs
     * from the same folder. Below the range that connections get theirs from: none of those takes
     * it meanwhile, and who tries to reach it does not reach itself.
     */
    public static function freePort(): int
    {
        $given = sys_get_temp_dir() . '/pbe2e.ports.' . (function_exists('posix_geteuid') ? posix_geteuid() : getmyuid());
        do {
            $port = random_int(10240, 31239);
            @mkdir($given);
            if (@fopen("$given/$port", 'x') === false) {
                continue;
            }
            register_shutdown_function(static function () use ($given, $port): void {
                unlink("$given/$port");
                @rmdir($given);
            });
            $socket = @stream_socket_server("tcp://127.0.0.1:$port");
        } while (!isset($socket) || $socket === false);
        fclose($socket);
        return $port;
    }

    private function records(): array
    {
        return array_map(static function (string $line): array {
            [$connection, $args] = json_decode($line, true);
            return [$connection, array_map('base64_decode', $args)];
        }, @file($this->dir->path . '/commands') ?: []);
    }
}
