<?php

namespace Pepper\Bus;

/**
 * Which server of a list answered last, so that not every call waits for a dead one first.
 * Known in this process and, where APCu is there, in all that share its memory. After TTL
 * seconds the list's own order is tried again.
 */
final class Health
{
    const TTL = 30;

    /** Seconds after which a list that could not be reached is worth another round of tries. */
    const DOWN = 5;

    /** @var array<string,array{int,int}> index and time by list */
    private static $known = [];
    /** @var array<string,float> by list: until when no one tries again and again, as microtime(true) */
    private static $down = [];

    /**
     * @param Server[] $servers
     * @return Server[] by index, the one to try first in front
     */
    public static function order(array $servers): array
    {
        $key = self::key($servers);
        [$index, $until] = self::$known[$key] ?? [0, 0];
        if ($until < time()) {
            $index = self::shared() ? (int) apcu_fetch($key) : 0;
        }
        return isset($servers[$index]) ? [$index => $servers[$index]] + $servers : $servers;
    }

    /** @param Server[] $servers */
    public static function answered(array $servers, int $index): void
    {
        $key = self::key($servers);
        [$known, $until] = self::$known[$key] ?? [0, 0];
        if ($known === $index && ($index === 0 || $until >= time())) {
            return;
        }
        self::$known[$key] = [$index, time() + self::TTL];
        // Not stored again while it says the same: its time must run out some day.
        if (self::shared() && (int) apcu_fetch($key) !== $index) {
            apcu_store($key, $index, self::TTL);
        }
    }

    /**
     * Whether a whole list that could not be reached just now is worth a pause and another try: not
     * where somebody has tried in vain a moment ago, for then every request would wait.
     *
     * @param Server[] $servers
     */
    public static function isWorthAnotherTry(array $servers): bool
    {
        $key = self::key($servers) . ':down';
        return (self::$down[$key] ?? 0) < microtime(true) && !(self::shared() && apcu_exists($key));
    }

    /** @param Server[] $servers */
    public static function unreachable(array $servers): void
    {
        $key = self::key($servers) . ':down';
        self::$down[$key] = microtime(true) + self::DOWN;
        if (self::shared()) {
            apcu_store($key, 1, self::DOWN);
        }
    }

    /** @param Server[] $servers */
    private static function key(array $servers): string
    {
        return 'pepperbus:' . md5(implode(',', $servers));
    }

    private static function shared(): bool
    {
        return function_exists('apcu_enabled') && apcu_enabled();
    }
}
