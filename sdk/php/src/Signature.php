<?php

namespace Pepper\Bus;

/**
 * Tells requests of the broker from those of strangers who reach the worker's URL.
 *
 * A topic with a `signing_key` sends "t=<unix seconds>,v1=<64 hex digits>" in the header
 * X-Pepperbus-Signature, where v1 is HMAC-SHA256 of "<t>.<body>" with that key.
 */
final class Signature
{
    const FIELD = 'HTTP_X_PEPPERBUS_SIGNATURE';
    const TOLERANCE = 300;

    /** @var string[] */
    private $keys = [];
    /** @var int */
    private $tolerance;

    /**
     * @param string|string[] $keys      one, or several while they are changed: any of them will do
     * @param int             $tolerance seconds by which the clocks may differ
     * @throws ConfigException
     */
    public function __construct($keys, int $tolerance = self::TOLERANCE)
    {
        // Whoever names keys wants signed requests only: no slip may turn that off.
        if (!is_string($keys) && (!is_array($keys) || !$keys)) {
            throw new ConfigException('a signing key must be a string, or a list of strings');
        }
        foreach ((array) $keys as $key) {
            if (!is_string($key) || $key === '') {
                throw new ConfigException('a signing key is empty or no string');
            }
            $this->keys[] = $key;
        }
        if ($tolerance < 1) {
            throw new ConfigException('the tolerance of signatures must be at least one second');
        }
        $this->tolerance = $tolerance;
    }

    /**
     * The keys of a configuration ("signing_keys", "signing_tolerance"), else those of the
     * environment (PEPPERBUS_SIGNING_KEY, and PEPPERBUS_SIGNING_KEY_OLD while they are changed).
     *
     * @return self|null null: none are configured, and requests need no signature
     * @throws ConfigException
     */
    public static function configured(?array $conf): ?self
    {
        $keys = $conf['signing_keys'] ?? array_values(array_filter(
            [getenv('PEPPERBUS_SIGNING_KEY'), getenv('PEPPERBUS_SIGNING_KEY_OLD')],
            'is_string'
        ));
        return $keys === [] && !isset($conf['signing_keys'])
            ? null
            : new self($keys, (int) ($conf['signing_tolerance'] ?? self::TOLERANCE));
    }

    /** The header's value for a body. */
    public static function of(string $body, string $key, int $time): string
    {
        return "t=$time,v1=" . hash_hmac('sha256', "$time.$body", $key);
    }

    /** What is wrong with a signature, for an operator to read; empty: nothing. */
    public function fault(string $header, string $body, ?int $now = null): string
    {
        if ($header === '') {
            return 'the request has no signature, and this worker takes only signed ones: '
                . 'give the topic the signing_key that the worker has';
        }
        $time = null;
        $macs = [];
        foreach (explode(',', $header) as $part) {
            [$name, $value] = explode('=', trim($part), 2) + ['', ''];
            if ($name === 't' && preg_match('/^\d{1,15}$/D', $value)) {
                $time = $value;
            } elseif ($name === 'v1') {
                $macs[] = strtolower($value);
            }
        }
        if ($time === null || !$macs) {
            return 'the signature cannot be read: it must be t=<unix seconds>,v1=<64 hex digits>';
        }
        $known = false;
        foreach ($this->keys as $key) {
            $right = hash_hmac('sha256', "$time.$body", $key);
            foreach ($macs as $mac) {
                $known = hash_equals($right, $mac) || $known;
            }
        }
        if (!$known) {
            return 'the signature does not match: the topic\'s signing_key is not '
                . (count($this->keys) > 1 ? 'one of the ' . count($this->keys) . ' keys' : 'the key')
                . ' of this worker, or something on the way changed the body';
        }
        $apart = ($now ?? time()) - (int) $time;
        if (abs($apart) > $this->tolerance) {
            return "the signature is right, but made $apart s ago by this machine's clock (at most $this->tolerance s either way): "
                . 'set the clocks of broker and worker, unless somebody sent an old request again';
        }
        return '';
    }

    /** Keys do not show in dumps. */
    public function __debugInfo(): array
    {
        return ['keys' => count($this->keys), 'tolerance' => $this->tolerance];
    }
}
