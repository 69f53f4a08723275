<?php

namespace Pepper\Bus;

/**
 * The form of a request as it came over the wire.
 *
 * $_POST is not asked: frameworks change it (WordPress adds slashes), and so do filter.default,
 * max_input_vars, variables_order and enable_post_data_reading. A job's content would arrive changed
 * and count as done, or not arrive at all.
 */
final class Form
{
    private const TYPE = 'application/x-www-form-urlencoded';
    /** The broker sends six fields. */
    private const FIELDS_MAX = 64;
    private const HEAD = 4096;
    private const MARK = 'IS_PEPPER_BUS_REQUEST=true';

    /** The server variables that a worker looks at. The request's own come before $_SERVER, which can be changed or empty. */
    public static function server(): array
    {
        $server = [];
        foreach (['REQUEST_METHOD', 'CONTENT_TYPE', 'CONTENT_LENGTH', 'HTTP_HOST', 'HTTP_IS_PEPPER_BUS_REQUEST',
            'HTTP_X_PEPPERBUS_TIMEOUT', Signature::FIELD] as $name) {
            $value = getenv($name);
            $value = $value === false ? $_SERVER[$name] ?? null : $value;
            if (is_string($value)) {
                $server[$name] = $value;
            }
        }
        $server['REQUEST_TIME_FLOAT'] = $_SERVER['REQUEST_TIME_FLOAT'] ?? microtime(true);
        return $server;
    }

    /** Whether the request that runs looks like the broker's; reads no more than the beginning of its form. */
    public static function isFromBus(): bool
    {
        $server = self::server();
        if (!self::isForm($server) || (isset($server['HTTP_HOST']) && ($server['HTTP_IS_PEPPER_BUS_REQUEST'] ?? '') !== 'true')) {
            return false;
        }
        $head = (string) @file_get_contents('php://input', false, null, 0, self::HEAD);
        return preg_match('/(^|&)' . self::MARK . '(&|$)/D', $head) === 1;
    }

    /** The raw form of the request that runs; empty when it has none, or one of another type. */
    public static function body(array $server): string
    {
        return self::isForm($server) ? (string) @file_get_contents('php://input') : '';
    }

    /** @return array<string,string> */
    public static function parse(string $body): array
    {
        $fields = [];
        foreach ($body === '' ? [] : explode('&', $body, self::FIELDS_MAX) as $pair) {
            [$name, $value] = explode('=', $pair, 2) + ['', ''];
            $fields[urldecode($name)] = urldecode($value);
        }
        return $fields;
    }

    private static function isForm(array $server): bool
    {
        $type = strtolower(trim(explode(';', $server['CONTENT_TYPE'] ?? '', 2)[0]));
        return ($server['REQUEST_METHOD'] ?? '') === 'POST' && $type === self::TYPE;
    }
}
