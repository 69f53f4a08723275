<?php

namespace Pepper\Bus;

/** One connection to a broker, over ext-redis or predis. Never repeats anything by itself. */
interface Connection
{
    /** @throws ConnectionException */
    public function open(): void;

    /**
     * Sends one command and returns its reply.
     *
     * @param string[] $args
     * @return mixed null when nil
     * @throws ConnectionException the connection failed; the command may have arrived
     * @throws ReplyError          the broker answered an error
     */
    public function call(array $args);

    public function close(): void;
}
