<?php

namespace Pepper\Bus;

/** The broker's error texts and what they are in PHP. */
final class Errors
{
    // First match wins.
    private const TABLE = [
        '/NOAUTH|WRONGPASS|invalid password|NOPERM/i' => AuthException::class,
        '/queue or topic not exist/i' => QueueNotFoundException::class,
        '/too large|too big|max_job_size/i' => JobTooLargeException::class,
        '/\bfull\b|max_length|max_bytes|MAXLEN/i' => QueueFullException::class,
        '/number of clients|shutting down|draining/i' => ConnectionException::class,
        '/storage|LOADING|redis|replica/i' => StorageException::class,
    ];

    public static function typed(string $text, string $queue, ?Server $server = null): BusException
    {
        $class = BusException::class;
        foreach (self::TABLE as $pattern => $candidate) {
            if (preg_match($pattern, $text)) {
                $class = $candidate;
                break;
            }
        }
        if ($class === AuthException::class && stripos($text, 'invalid password') !== false) {
            $text .= ', or there is no such queue'; // which the broker does not tell strangers
        }
        return new $class('Pepperbus' . ($server ? " $server" : '') . ", queue \"$queue\": $text");
    }
}
