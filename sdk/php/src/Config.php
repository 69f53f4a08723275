<?php

namespace Pepper\Bus;

/**
 * What the application says about its brokers.
 *
 *     ["password" => "...",                            // of every queue, or
 *      "passwords" => ["queue" => "...", ...],         // of single ones
 *      "servers" => [["host" => "10.0.0.1", "port" => 12017, "timeout" => 3], ...],
 *      "driver" => "redis"]                            // or "predis"; default: what is there
 */
final class Config
{
    /** @var Server[] */
    private $servers = [];
    /** @var string */
    private $password;
    /** @var array<string,string> */
    private $passwords;
    /** @var string|null */
    private $driver;

    /** @throws ConfigException */
    public function __construct(array $conf)
    {
        if (empty($conf['servers']) || !is_array($conf['servers'])) {
            throw new ConfigException('the Pepperbus configuration has no "servers"');
        }
        foreach ($conf['servers'] as $server) {
            if (!is_array($server)) {
                throw new ConfigException('"servers" must be a list of ["host" => ..., "port" => ..., "timeout" => ...]');
            }
            $this->servers[] = new Server($server);
        }
        $this->password = (string) ($conf['password'] ?? '');
        $this->passwords = array_map('strval', (array) ($conf['passwords'] ?? []));
        $this->driver = $conf['driver'] ?? null;
        if (!in_array($this->driver, [null, 'redis', 'predis'], true)) {
            throw new ConfigException('"driver" must be "redis" or "predis"');
        }
    }

    /** @return Server[] in the order of preference */
    public function servers(): array
    {
        return $this->servers;
    }

    public function password(string $queue): string
    {
        return $this->passwords[$queue] ?? $this->password;
    }

    /**
     * A connection, not opened yet, by the driver that is configured or installed.
     *
     * @throws ConfigException neither ext-redis nor predis is installed
     */
    public function connection(Server $server): Connection
    {
        $driver = $this->driver ?? (extension_loaded('redis') ? 'redis' : 'predis');
        if ($driver === 'redis' && extension_loaded('redis')) {
            return new PhpRedisConnection($server);
        }
        if ($driver === 'predis' && PredisConnection::isAvailable()) {
            return new PredisConnection($server);
        }
        throw new ConfigException($this->driver === null
            ? 'adding jobs needs the PHP extension "redis" or the package predis/predis'
            : "the configured driver \"$driver\" is not installed");
    }

    /** Passwords do not show in dumps. */
    public function __debugInfo(): array
    {
        return ['servers' => array_map('strval', $this->servers), 'driver' => $this->driver];
    }
}
