<?php

namespace Pepper\Bus;

/**
 * What the application says about its brokers.
 *
 *     ["password" => "...",                            // of every queue, or
 *      "passwords" => ["queue" => "...", ...],         // of single ones
 *      "servers" => [["host" => "10.0.0.1", "port" => 12017, "timeout" => 3], ...],
 *      "retry_for" => 2,                               // seconds to try again while no broker can be reached
 *      "driver" => "redis"]                            // or "predis"; default: what is there
 *
 * "signing_keys", "signing_tolerance" and "signing_v1" are for workers, see Signature.
 */
final class Config
{
    private const KEYS = ['servers', 'password', 'passwords', 'retry_for', 'driver', 'signing_keys', 'signing_tolerance', 'signing_v1'];
    private const RETRY_FOR = 2.0;

    /** @var Server[] */
    private $servers = [];
    /** @var float */
    private $retryFor;
    /** @var string */
    private $password;
    /** @var array<string,string> */
    private $passwords;
    /** @var string|null */
    private $driver;

    /** @throws ConfigException */
    public function __construct(array $conf)
    {
        self::checkKeys(array_filter($conf, static function ($value): bool {
            return !(is_array($value) && isset($value['servers'])); // another configuration, by name
        }), self::KEYS, 'the Pepperbus configuration');
        if (empty($conf['servers']) || !is_array($conf['servers'])) {
            throw new ConfigException('the Pepperbus configuration has no "servers"');
        }
        if (isset($conf['servers']['host'])) {
            throw new ConfigException('"servers" must be a list, with one more pair of brackets: [["host" => ..., "port" => ...]]');
        }
        foreach ($conf['servers'] as $server) {
            if (!is_array($server)) {
                throw new ConfigException('"servers" must be a list of ["host" => ..., "port" => ..., "timeout" => ...]');
            }
            $this->servers[] = new Server($server);
        }
        $this->password = self::text($conf['password'] ?? '', '"password"');
        if (!is_array($conf['passwords'] ?? [])) {
            throw new ConfigException('"passwords" must be ["queue" => "password", ...]');
        }
        $this->passwords = [];
        foreach ($conf['passwords'] ?? [] as $queue => $password) {
            $this->passwords[(string) $queue] = self::text($password, "the password of queue \"$queue\"");
        }
        $this->retryFor = self::seconds($conf['retry_for'] ?? self::RETRY_FOR, '"retry_for"', 0, 3600);
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

    /** @throws ConfigException there is none */
    public function password(string $queue): string
    {
        $password = $this->passwords[$queue] ?? $this->password;
        if ($password === '') {
            throw new ConfigException("the Pepperbus configuration has no password for queue \"$queue\": "
                . 'set "password", or "passwords" => ["' . $queue . '" => ...]');
        }
        return $password;
    }

    /** Seconds for which addJob() tries again while no server can be reached; 0: it does not. */
    public function retryFor(): float
    {
        return $this->retryFor;
    }

    /**
     * @internal a key that nobody knows is a typing error, and must not be silent
     * @param string[] $known
     * @throws ConfigException
     */
    public static function checkKeys(array $conf, array $known, string $where): void
    {
        foreach (array_keys($conf) as $key) {
            if (in_array($key, $known, true)) {
                continue;
            }
            $nearest = '';
            $best = 3;
            foreach ($known as $candidate) {
                $distance = levenshtein((string) $key, $candidate);
                if ($distance < $best) {
                    [$best, $nearest] = [$distance, " (\"$candidate\"?)"];
                }
            }
            throw new ConfigException("$where has an unknown key \"$key\"$nearest; there are: " . implode(', ', $known));
        }
    }

    /**
     * @internal
     * @param mixed $value
     * @throws ConfigException
     */
    public static function seconds($value, string $what, float $min, float $max): float
    {
        if (!is_numeric($value) || !((float) $value >= $min && (float) $value <= $max)) {
            throw new ConfigException("$what must be a number of seconds, $min to $max");
        }
        return (float) $value;
    }

    /** @param mixed $value */
    private static function text($value, string $what): string
    {
        if (!is_string($value) && !is_int($value)) {
            throw new ConfigException("$what must be a string");
        }
        return (string) $value;
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
