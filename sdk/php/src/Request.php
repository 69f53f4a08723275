<?php

namespace Pepper\Bus;

/**
 * What the broker asks a worker: a ping, or to handle jobs.
 *
 * A handler gets one that holds exactly one job, also when the broker sent several at once.
 */
class Request
{
    /** @var string "ping", "data", or what else was sent */
    public $type = '';
    /** @var array<int,array<string,mixed>> decoded: id, inTraceId, content, RetryTimes, ... */
    public $jobs = [];
    /** @var string names this delivery */
    public $outTraceId = '';
    /** @var string */
    public $queue = '';
    /** @var string */
    public $topic = '';
    /** @var string why the request cannot be used; empty when it can */
    public $problem = '';
    /** @var string why the request's signature is refused; empty when it is not */
    public $refusal = '';
    /** @var float|null when the broker gives it up, as microtime(true); null: not known */
    public $deadline;
    /** @var bool */
    private $fromBus = false;
    /** @var bool */
    private $tooLarge = false;

    /**
     * From the PHP request that runs: its form as it came, see Form.
     *
     * @param Signature|null $signature checks who sent it
     */
    public static function fromGlobals(?Signature $signature = null): self
    {
        $server = Form::server();
        $body = Form::body($server);
        $request = self::fromFields(Form::parse($body), $server);
        $length = (int) ($server['CONTENT_LENGTH'] ?? 0);
        if ($request->fromBus && !$request->tooLarge && strlen($body) < $length) {
            $request->jobs = [];
            $request->problem = 'only ' . strlen($body) . " of the request's $length bytes arrived";
        }
        // A form that PHP threw away cannot be checked; its problem stops it as well.
        if ($signature !== null && $request->fromBus && !$request->tooLarge) {
            $request->refusal = $signature->fault(
                self::text($server, Signature::FIELD),
                $body,
                "$request->queue/$request->topic"
            );
            $request->jobs = $request->refusal === '' ? $request->jobs : [];
        }
        return $request;
    }

    /**
     * Whether the PHP request that runs says it comes from the broker.
     *
     * Through a web server that takes the header as well, which no form of a foreign page can set.
     * Whoever may connect can still set it: see "Who may call a worker" in the README.
     *
     * @param array<string,mixed>|null $post   null: the form as it came
     * @param array<string,mixed>|null $server
     */
    public static function isBusRequest(?array $post = null, ?array $server = null): bool
    {
        if ($post === null) {
            return Form::isFromBus();
        }
        $server = $server ?? $_SERVER;
        return ($post['IS_PEPPER_BUS_REQUEST'] ?? '') === 'true'
            && (!isset($server['HTTP_HOST']) || ($server['HTTP_IS_PEPPER_BUS_REQUEST'] ?? '') === 'true');
    }

    /**
     * @internal from a broker that started this process
     * @param array<string,mixed> $fields type, queue, topic, outTraceId, jobs; decoded
     * @param float               $began  as microtime(true)
     */
    public static function fromLine(array $fields, float $began): self
    {
        $request = new self();
        $request->fromBus = true;
        $request->type = self::text($fields, 'type');
        $request->outTraceId = self::text($fields, 'outTraceId');
        $request->queue = self::text($fields, 'queue');
        $request->topic = self::text($fields, 'topic');
        $request->mustEnd((string) getenv('PEPPERBUS_TIMEOUT'), $began);
        $request->take($fields['jobs'] ?? null);
        return $request;
    }

    /**
     * @param array<string,mixed> $post
     * @param array<string,mixed> $server
     */
    public static function fromFields(array $post, array $server = []): self
    {
        $request = new self();
        $request->fromBus = self::isBusRequest($post, $server);
        $request->type = self::text($post, 'type');
        $request->outTraceId = self::text($post, 'outTraceId');
        $request->queue = self::text($post, 'queue');
        $request->topic = self::text($post, 'topic');
        if (!$request->fromBus) {
            // PHP throws a form away as a whole when it is too large.
            $length = (int) ($server['CONTENT_LENGTH'] ?? 0);
            if (!$post && $length > 0 && ($limit = self::bytes((string) ini_get('post_max_size'))) > 0 && $length > $limit) {
                $request->fromBus = $request->tooLarge = true;
                $request->problem = "the request of $length bytes is larger than post_max_size ("
                    . ini_get('post_max_size') . ') of this PHP: raise it, or lower the topic\'s chunk';
            }
            return $request;
        }
        $request->mustEnd(self::text($server, 'HTTP_X_PEPPERBUS_TIMEOUT'), (float) ($server['REQUEST_TIME_FLOAT'] ?? microtime(true)));
        $request->take(json_decode(self::text($post, 'jobs'), true, 64, JSON_BIGINT_AS_STRING));
        return $request;
    }

    private function mustEnd(string $timeoutMs, float $began): void
    {
        $this->deadline = preg_match('/^\d+$/D', $timeoutMs) ? $began + $timeoutMs / 1000 : null;
    }

    /** @param mixed $jobs */
    private function take($jobs): void
    {
        if ($this->type !== 'data') {
            $this->problem = $this->type === 'ping' ? '' : "unknown request type \"$this->type\"";
        } elseif (!is_array($jobs) || !$jobs) {
            $this->problem = 'the request holds no jobs';
        } else {
            $this->jobs = array_map([self::class, 'job'], array_values($jobs));
        }
    }

    /** @return array<int,array<string,mixed>> */
    public function getJobs(): array
    {
        return $this->jobs;
    }

    /** "queue/topic"; the topic of a request that names none is "default". */
    public function getQueuePath(): string
    {
        return $this->queue . '/' . ($this->topic === '' ? 'default' : $this->topic);
    }

    public function isQueueRequest(): bool
    {
        return $this->fromBus;
    }

    /** The same request with only one of its jobs. */
    public function only(int $index): self
    {
        $one = clone $this;
        $one->jobs = [$this->jobs[$index]];
        return $one;
    }

    /**
     * Checks one job and brings binary content back to bytes.
     *
     * @param mixed $job
     * @return array<string,mixed> with the member "problem" when it cannot be used
     */
    private static function job($job): array
    {
        if (!is_array($job) || !isset($job['id'], $job['content']) || !is_scalar($job['id']) || !is_string($job['content'])) {
            $id = is_array($job) && is_scalar($job['id'] ?? null) ? (string) $job['id'] : '';
            return ['id' => $id, 'content' => '', 'problem' => 'the job has no id or no content'];
        }
        $job['id'] = (string) $job['id'];
        if (isset($job['encoding'])) {
            $content = $job['encoding'] === 'base64' ? base64_decode($job['content'], true) : false;
            if ($content === false) {
                $job['problem'] = 'the job\'s content is not valid base64, or in an unknown encoding';
            } else {
                $job['content'] = $content;
                unset($job['encoding']);
            }
        }
        return $job;
    }

    /** @param array<string,mixed> $fields */
    private static function text(array $fields, string $name): string
    {
        return isset($fields[$name]) && is_string($fields[$name]) ? $fields[$name] : '';
    }

    /** An ini size such as "8M" in bytes. */
    private static function bytes(string $size): int
    {
        $unit = ['k' => 10, 'm' => 20, 'g' => 30][strtolower(substr($size, -1))] ?? 0;
        return (int) $size << $unit;
    }
}
