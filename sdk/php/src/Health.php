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

    /** @var array<string,array{int,int}> index and time by list */
    private static $known = [];

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
