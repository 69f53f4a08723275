<?php

namespace Pepper\Bus;

/**
 * Tells requests of the broker from those of strangers who reach the worker's URL.
 *
 * A topic with a `signing_key` sends "t=<unix seconds>,v2=<64 hex digits>" in the header
 * X-Pepperbus-Signature, where v2 is HMAC-SHA256 with that key over four lines: t, the kind of body
 * ("form" or "content"), queue/topic, and the body. So a signature holds for one topic only, and
 * bytes that a producer wrote (kind "content") are never taken for a form of the broker.
 *
 * v1 is the form of the release 0.1: HMAC-SHA256 of "<t>.<body>". It is taken where `$acceptV1` says so.
 */
final class Signature
{
    const FIELD = 'HTTP_X_PEPPERBUS_SIGNATURE';
    const TOLERANCE = 300;

    /** @var string[] */
    private $keys = [];
    /** @var int */
    private $tolerance;
    /** @var bool */
    private $acceptV1;

    /**
     * @param string|string[] $keys      one, or several while they are changed: any of them will do
     * @param int             $tolerance seconds by which the clocks may differ
     * @param bool            $acceptV1  takes signatures of a broker of the release 0.1 as well
     * @throws ConfigException
     */
    public function __construct($keys, int $tolerance = self::TOLERANCE, bool $acceptV1 = false)
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
        $this->acceptV1 = $acceptV1;
    }

    /**
     * The keys of a configuration ("signing_keys", "signing_tolerance", "signing_v1"), else those of the
     * environment (PEPPERBUS_SIGNING_KEY, and PEPPERBUS_SIGNING_KEY_OLD while they are changed;
     * PEPPERBUS_SIGNING_V1=1).
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
            : new self(
                $keys,
                (int) ($conf['signing_tolerance'] ?? self::TOLERANCE),
                (bool) ($conf['signing_v1'] ?? getenv('PEPPERBUS_SIGNING_V1') === '1')
            );
    }

    /**
     * The header's value.
     *
     * @param string $path "queue/topic"
     * @param string $kind "form", or "content" for a topic with `body = content`
     */
    public static function of(string $body, string $key, int $time, string $path, string $kind = 'form'): string
    {
        return "t=$time,v2=" . hash_hmac('sha256', "$time\n$kind\n$path\n$body", $key);
    }

    /**
     * What is wrong with the signature of a form, for an operator to read; empty: nothing.
     *
     * @param string $path "queue/topic" that the form names
     */
    public function fault(string $header, string $body, string $path, ?int $now = null): string
    {
        if ($header === '') {
            return 'the request has no signature, and this worker takes only signed ones: '
                . 'give the topic the signing_key that the worker has';
        }
        if ($body === '') {
            return 'the request has no body that a signature could be of';
        }
        [$time, $macs] = self::parse($header);
        if ($time === null || !($macs['v1'] || $macs['v2'])) {
            return 'the signature cannot be read: it must be t=<unix seconds>,v2=<64 hex digits>';
        }
        if (!$macs['v2'] && !$this->acceptV1) {
            return 'the signature has the form v1, which says neither queue and topic nor the kind of body: '
                . 'update the broker (signing_version = v2), or take v1 for now by "signing_v1" => true';
        }
        if (!$this->isKnown($macs, $time, $body, $path)) {
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

    /** @return array{string|null,array{v1:string[],v2:string[]}} */
    private static function parse(string $header): array
    {
        $time = null;
        $macs = ['v1' => [], 'v2' => []];
        foreach (explode(',', $header) as $part) {
            [$name, $value] = explode('=', trim($part), 2) + ['', ''];
            if ($name === 't' && preg_match('/^\d{1,15}$/D', $value)) {
                $time = $value;
            } elseif (isset($macs[$name])) {
                $macs[$name][] = strtolower($value);
            }
        }
        return [$time, $macs];
    }

    /** @param array{v1:string[],v2:string[]} $macs */
    private function isKnown(array $macs, string $time, string $body, string $path): bool
    {
        $signed = ['v2' => "$time\nform\n$path\n"] + ($this->acceptV1 ? ['v1' => "$time."] : []);
        $known = false;
        foreach ($signed as $version => $head) {
            foreach ($macs[$version] ? $this->keys : [] as $key) {
                $hash = hash_init('sha256', HASH_HMAC, $key);
                hash_update($hash, $head);
                hash_update($hash, $body);
                $right = hash_final($hash);
                foreach ($macs[$version] as $mac) {
                    $known = hash_equals($right, $mac) || $known;
                }
            }
        }
        return $known;
    }

    /** Keys do not show in dumps. */
    public function __debugInfo(): array
    {
        return ['keys' => count($this->keys), 'tolerance' => $this->tolerance];
    }
}
