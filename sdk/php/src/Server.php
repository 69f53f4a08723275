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
        if (!isset($conf['host']) || !is_string($conf['host']) || $conf['host'] === '') {
            throw new ConfigException('a server of the Pepperbus configuration has no "host"');
        }
        $this->host = $conf['host'];
        $this->port = $this->path() !== null ? 0 : (int) ($conf['port'] ?? self::DEFAULT_PORT);
        $this->timeout = (float) ($conf['timeout'] ?? self::DEFAULT_TIMEOUT);
        $this->readTimeout = (float) ($conf['read_timeout'] ?? $this->timeout);
        if ($this->path() === null && ($this->port < 1 || $this->port > 65535)) {
            throw new ConfigException("server $this->host: port must be 1 to 65535");
        }
        if ($this->timeout <= 0 || $this->readTimeout <= 0) {
            throw new ConfigException("server $this: timeouts must be greater than 0 seconds");
        }
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
