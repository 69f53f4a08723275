<?php

namespace Pepper\Bus;

/** One job, for handlers whose first parameter is a Job. */
final class Job
{
    /** @var string decimal id */
    public $id;
    /** @var string what the producer gave, byte for byte */
    public $content;
    /** @var string */
    public $queue;
    /** @var string */
    public $topic;
    /** @var int number of this attempt, from 1 */
    public $attempt;
    /** @var string the intake request that brought it */
    public $inTraceId;
    /** @var string this delivery */
    public $outTraceId;
    /** @var float|null */
    private $deadline;

    /**
     * @internal
     * @param array<string,mixed> $fields
     */
    public function __construct(array $fields, Request $request)
    {
        $this->id = (string) $fields['id'];
        $this->content = (string) $fields['content'];
        $this->queue = $request->queue;
        $this->topic = $request->topic;
        $this->attempt = (int) ($fields['RetryTimes'] ?? 1);
        $this->inTraceId = (string) ($fields['inTraceId'] ?? '');
        $this->outTraceId = $request->outTraceId;
        $this->deadline = $request->deadline;
    }

    /** Seconds until the broker gives the whole request up (the topic's timeout); null: not known. */
    public function secondsLeft(): ?float
    {
        return $this->deadline === null ? null : $this->deadline - microtime(true);
    }

    /**
     * The content as JSON.
     *
     * @return mixed objects as arrays
     * @throws InvalidJobException the content is not JSON
     */
    public function data()
    {
        $data = json_decode($this->content, true);
        if (json_last_error() !== JSON_ERROR_NONE) {
            throw new InvalidJobException("job $this->id is not JSON: " . json_last_error_msg());
        }
        return $data;
    }
}
