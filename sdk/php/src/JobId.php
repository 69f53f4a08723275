<?php

namespace Pepper\Bus;

/** Job ids: unsigned decimals of 64 bits, which is more than a PHP int holds. */
final class JobId
{
    /**
     * "D-<16 hex digits>-<21 more characters>", ADDJOB's reply, to the decimal id.
     *
     * @param mixed $reply
     * @return string|null null when it is not such an id
     */
    public static function fromDisque($reply): ?string
    {
        if (!is_string($reply) || !preg_match('/^D-([0-9a-f]{8})([0-9a-f]{8})-.{21}$/Ds', $reply, $m)) {
            return null;
        }
        // The top bit is set, so the int is negative; %u prints its bits as unsigned.
        return sprintf('%u', (hexdec($m[1]) << 32) | hexdec($m[2]));
    }
}
