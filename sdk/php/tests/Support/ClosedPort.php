<?php

namespace Pepper\Bus\Tests\Support;

/** A port that nobody listens on, and nobody else can while the object lives: connections are refused. */
final class ClosedPort
{
    /** @var int */
    public $port;
    /** @var resource bound, and does not listen */
    private $socket;

    public function __construct()
    {
        $socket = stream_socket_server('tcp://127.0.0.1:0', $errno, $error, STREAM_SERVER_BIND);
        if ($socket === false) {
            throw new \RuntimeException($error);
        }
        $this->socket = $socket;
        $this->port = (int) substr(strrchr(stream_socket_get_name($socket, false), ':'), 1);
    }
}
