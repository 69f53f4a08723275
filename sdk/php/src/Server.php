<?php

namespace Pepper\Bus;

/** Where one broker listens. */
final class Server
{
    const DEFAULT_PORT = 12017;
    const DEFAULT_TIMEOUT = 3.0;

    /** @var string host name, address, or "unix:/path" */
    public $host;
    /** @var int 0 for a unix socket */
    public $port;
    /** @var float seconds to connect */
    public $timeout;
    /** @var float seconds to wait for a reply */
    public $readTimeout;

    /**
     * @param array $conf host, port, timeout, read_timeout
     * @throws ConfigException
     */
    public function __construct(array $conf)
    {
        Config::checkKeys($conf, ['host', 'port', 'timeout', 'read_timeout'], 'a server of the Pepperbus configuration');
        if (!isset($conf['host']) || !is_string($conf['host']) || $conf['host'] === '') {
            throw new ConfigException('a server of the Pepperbus configuration has no "host"');
        }
        $this->host = $conf['host'];
        $port = $conf['port'] ?? self::DEFAULT_PORT;
        $this->port = $this->path() !== null ? 0 : (int) $port;
        if ($this->path() === null && (!is_numeric($port) || $this->port < 1 || $this->port > 65535)) {
            throw new ConfigException("server $this->host: port must be 1 to 65535");
        }
        $this->timeout = Config::seconds($conf['timeout'] ?? self::DEFAULT_TIMEOUT, "server $this: \"timeout\"", 0.001, 3600);
        $this->readTimeout = Config::seconds($conf['read_timeout'] ?? $this->timeout, "server $this: \"read_timeout\"", 0.001, 3600);
    }

    /** Path of the unix socket, or null for TCP. */
    public function path(): ?string
    {
        return strncmp($this->host, 'unix:', 5) === 0 ? substr($this->host, 5) : null;
    }

    public function __toString(): string
    {
        return $this->port === 0 ? $this->host : "$this->host:$this->port";
    }
}
