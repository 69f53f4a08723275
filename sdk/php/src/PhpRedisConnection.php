<?php

namespace Pepper\Bus;

/** Connection over ext-redis. */
final class PhpRedisConnection implements Connection
{
    /** @var Server */
    private $server;
    /** @var \Redis|null */
    private $redis;

    public function __construct(Server $server)
    {
        $this->server = $server;
    }

    public function open(): void
    {
        $redis = new \Redis();
        $path = $this->server->path();
        try {
            $ok = @$redis->connect(
                $path ?? $this->server->host,
                $path !== null ? -1 : $this->server->port,
                $this->server->timeout,
                null,
                0,
                $this->server->readTimeout
            );
            if ($ok && \defined('Redis::OPT_MAX_RETRIES')) {
                // It would reconnect in silence, without our AUTH.
                $redis->setOption(\Redis::OPT_MAX_RETRIES, 0);
            }
            $why = 'cannot connect';
        } catch (\RedisException $e) {
            $ok = false;
            $why = $e->getMessage();
        }
        if (!$ok) {
            throw new ConnectionException("Pepperbus $this->server: $why");
        }
        $this->redis = $redis;
    }

    public function call(array $args)
    {
        try {
            $this->redis->clearLastError();
            $reply = @$this->redis->rawCommand(...$args);
            $error = $this->redis->getLastError();
        } catch (\RedisException $e) {
            // Thrown for a failed connection and for some error replies; only those are
            // also kept as the last error. The exception itself is not passed on: the
            // arguments in its trace include the password.
            $error = $this->lastError();
            if ($error === null) {
                throw new ConnectionException("Pepperbus $this->server: {$e->getMessage()}");
            }
            $reply = false;
        }
        if ($error !== null) {
            throw new ReplyError($error);
        }
        return $reply === false ? null : $reply;
    }

    public function close(): void
    {
        try {
            $this->redis === null || @$this->redis->close();
        } catch (\RedisException $e) {
            // It was not open any more.
        }
        $this->redis = null;
    }

    private function lastError(): ?string
    {
        try {
            return $this->redis->getLastError();
        } catch (\RedisException $e) {
            return null;
        }
    }
}
