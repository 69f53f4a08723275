<?php

namespace Pepper\Bus;

/** Connection over the predis package. */
final class PredisConnection implements Connection
{
    /** @var Server */
    private $server;
    /** @var \Predis\Client|null */
    private $client;

    public function __construct(Server $server)
    {
        $this->server = $server;
    }

    /** Also finds a predis of the operating system in the include path. */
    public static function isAvailable(): bool
    {
        if (!class_exists(\Predis\Client::class)) {
            $file = stream_resolve_include_path('Predis/Autoloader.php');
            if ($file !== false) {
                require_once $file;
                \Predis\Autoloader::register();
            }
        }
        return class_exists(\Predis\Client::class);
    }

    public function open(): void
    {
        $path = $this->server->path();
        $where = $path !== null
            ? ['scheme' => 'unix', 'path' => $path]
            : ['scheme' => 'tcp', 'host' => $this->server->host, 'port' => $this->server->port];
        $client = new \Predis\Client($where + [
            'timeout' => $this->server->timeout,
            'read_write_timeout' => $this->server->readTimeout,
        ]);
        try {
            $client->connect();
        } catch (\Predis\PredisException $e) {
            throw new ConnectionException("Pepperbus $this->server: {$e->getMessage()}");
        }
        $this->client = $client;
    }

    public function call(array $args)
    {
        try {
            $reply = $this->client->executeRaw($args, $isError);
        } catch (\Predis\PredisException $e) {
            throw new ConnectionException("Pepperbus $this->server: {$e->getMessage()}");
        }
        if ($isError) {
            throw new ReplyError((string) $reply);
        }
        return $reply;
    }

    public function close(): void
    {
        $this->client === null || $this->client->disconnect();
        $this->client = null;
    }
}
