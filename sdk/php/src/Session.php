<?php

namespace Pepper\Bus;

/** An open connection and the queues it is authenticated for. */
final class Session
{
    /** @var Server */
    public $server;
    /** @var bool a command has already been answered on it */
    public $used = false;
    /** @var Connection */
    private $connection;
    /** @var array<string,true> */
    private $names = [];
    /** @var int */
    private $pid;
    /** @var bool the broker does not know IDTTL */
    private $isOld = false;

    /** @throws ConnectionException */
    public function __construct(Server $server, Connection $connection)
    {
        $this->server = $server;
        $this->connection = $connection;
        $this->pid = (int) getmypid();
        $connection->open();
    }

    /** False in a forked child: two processes on one connection would mix up their replies. */
    public function isMine(): bool
    {
        return $this->pid === (int) getmypid();
    }

    /**
     * Authenticates for a queue, or "queue/topic", once per connection.
     *
     * @throws AuthException
     * @throws ConnectionException
     */
    public function auth(string $name, string $password): void
    {
        if (isset($this->names[$name])) {
            return;
        }
        try {
            $this->connection->call(['AUTH', "$name:$password"]);
        } catch (ReplyError $e) {
            $typed = Errors::typed($e->getMessage(), $name, $this->server);
            throw get_class($typed) === BusException::class ? new AuthException($typed->getMessage()) : $typed;
        }
        $this->names[$name] = true;
    }

    /** Whether the connection is alive; asked before a command that must not be repeated. */
    public function ping(): bool
    {
        try {
            $this->connection->call(['PING']);
            return true;
        } catch (ReplyError $e) {
            return true;
        } catch (ConnectionException $e) {
            return false;
        }
    }

    /**
     * @param string[] $args
     * @return mixed
     * @throws ConnectionException
     * @throws ReplyError
     */
    public function call(array $args)
    {
        $reply = $this->connection->call($args);
        $this->used = true;
        return $reply;
    }

    /**
     * ADDJOB. A broker of the release 0.1 does not know IDTTL, and keeps each token for ten minutes.
     *
     * @param string[] $args
     * @return mixed
     * @throws ConnectionException
     * @throws ReplyError
     */
    public function addJob(array $args)
    {
        $at = array_search('IDTTL', array_slice($args, 4, null, true), true);
        if ($at !== false && $this->isOld) {
            array_splice($args, $at, 2);
        }
        try {
            return $this->call($args);
        } catch (ReplyError $e) {
            if ($at === false || $this->isOld || strpos($e->getMessage(), 'syntax error') === false) {
                throw $e;
            }
            $this->isOld = true;
            return $this->addJob($args);
        }
    }

    public function close(): void
    {
        $this->connection->close();
    }
}
