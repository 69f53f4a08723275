<?php

namespace Pepper\Bus;

/**
 * The pauses of one call that found no broker: a restart takes a second or two, and what is sent
 * with a token, or was not sent at all, may be sent again.
 */
final class Retry
{
    private const FIRST_S = 0.05;
    private const LONGEST_S = 0.5;

    /** @var Config */
    private $config;
    /** @var float as microtime(true) */
    private $end;
    /** @var float */
    private $next = self::FIRST_S;

    public function __construct(Config $config)
    {
        $this->config = $config;
        $this->end = microtime(true) + $config->retryFor();
    }

    /** Waits before another try. False when there is to be none. */
    public function pause(): bool
    {
        $servers = $this->config->servers();
        if (!Health::isWorthAnotherTry($servers)) {
            return false;
        }
        if (microtime(true) + $this->next > $this->end) {
            Health::unreachable($servers);
            return false;
        }
        usleep((int) ($this->next * 1000000));
        $this->next = min(self::LONGEST_S, $this->next * 2);
        return true;
    }
}
