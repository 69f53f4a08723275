<?php

namespace Pepper\Bus\Tests\Support;

/** A private pepperbusd with a private Redis, both gone with the object. */
final class Broker
{
    /** @var int */
    public $port;
    /** @var string */
    public $socket;
    /** @var TempDir */
    private $dir;
    /** @var string */
    private $binary;
    /** @var string[] */
    private $command;
    /** @var Process */
    private $process;

    /** @param string $topics sections [pool], [queue] and [topic] */
    public function __construct(string $binary, string $topics)
    {
        $this->binary = $binary;
        $this->dir = new TempDir();
        $this->socket = $this->dir->path . '/s';
        mkdir($this->dir->path . '/state');
        $this->command = [$this->binary, '-c', $this->dir->path . '/pepperbus.ini'];
        do {
            $before = strlen($this->log());
            $this->configure($topics);
            try {
                $this->start();
                return;
            } catch (\RuntimeException $e) {
                // Somebody beside may have taken one of its ports since they were free.
                $taken = strpos((string) substr($this->log(), $before), 'another process has that port') !== false;
            }
        } while ($taken);
        throw $e;
    }

    private function configure(string $topics): void
    {
        $this->port = FakeBroker::freePort();
        $plugins = self::pluginDir($this->binary);
        $this->dir->write('pepperbus.ini', implode("\n", [
            '[server]',
            'node = sdk-test',
            "listen = 127.0.0.1:$this->port, unix:$this->socket",
            'admin = 127.0.0.1:' . FakeBroker::freePort(),
            "state_dir = {$this->dir->path}/state",
            $plugins === null ? '' : "plugin_dir = $plugins",
            'max_job_size = 64kb',
            '[system test]',
            'title = Tests of the PHP SDK',
            '[storage main]',
            'managed = yes',
            preg_replace('/^ +/m', '', $topics),
        ]) . "\n");
    }

    public function start(): void
    {
        $before = strlen($this->log()); // of an earlier start
        $this->process = new Process($this->command, $this->dir->path . '/log');
        $this->process->waitUntil(function () use ($before): bool {
            $socket = @stream_socket_client("tcp://127.0.0.1:$this->port");
            return $socket !== false && fwrite($socket, "PING\r\n") && fgets($socket) !== false
                && strpos((string) substr($this->log(), $before), 'storage main: ready') !== false;
        }, 'pepperbusd answering');
    }

    public function stop(int $signal = 15): void
    {
        $this->process->stop($signal);
    }

    /** Before its folder goes: without that it would not find the redis-server that it took over. */
    public function __destruct()
    {
        if ($this->process !== null) {
            $this->process->stop();
        }
    }

    public function log(): string
    {
        return (string) @file_get_contents($this->dir->path . '/log');
    }

    /** Waits for a line of the log. What the broker says of one job may come after another is done. */
    public function waitForLog(string $pattern): void
    {
        $this->process->waitUntil(function () use ($pattern): bool {
            return preg_match($pattern, $this->log()) === 1;
        }, "$pattern in the broker's log");
    }

    /** Path of a built pepperbusd, or null. */
    public static function find(): ?string
    {
        $given = getenv('PEPPERBUSD');
        if ($given !== false && $given !== '') {
            return is_executable($given) ? $given : null;
        }
        for ($dir = dirname(__DIR__); $dir !== dirname($dir); $dir = dirname($dir)) {
            if (is_executable("$dir/pepperbusd") && is_file("$dir/pepperbusd")) {
                return "$dir/pepperbusd";
            }
        }
        return null;
    }

    /** Whether it has a transport of this run type. */
    public static function has(string $binary, string $plugin): bool
    {
        return is_file((self::pluginDir($binary) ?? '') . "/$plugin.so");
    }

    /** Where the transports of a build tree are, or null for the installed ones. */
    private static function pluginDir(string $binary): ?string
    {
        $given = getenv('PEPPERBUS_PLUGIN_DIR');
        if ($given !== false && $given !== '') {
            return $given;
        }
        foreach (['/.libs', '/plugins/.libs', '/plugins'] as $place) {
            $dir = dirname($binary) . $place;
            if (glob("$dir/*fastcgi*.so") || glob("$dir/cgi.so")) {
                return $dir;
            }
        }
        return null;
    }
}
