<?php

namespace Pepper\Bus;

/** A worker's answer to the broker. */
class Response
{
    const OK = 200;
    const EACH_JOB = 207;
    const BAD_REQUEST = 400;
    const REFUSED = 403;
    const NOT_REGISTERED = 404;
    const FAILED = 500;

    private const MESSAGE_MAX = 4000; // the broker keeps 2,000 bytes

    /** @var int what becomes of the jobs */
    public $code;
    /** @var int 0: no error */
    public $errCode;
    /** @var string message */
    public $content;
    /** @var callable|null gives the outcomes as a JSON list, for when the headers have left before */
    public $list;
    /** @var string|null ping: comma list of "queue/topic" */
    public $topics;
    /** @var array<int,array{id:string,code:int,msg:string}>|null several jobs: what became of each */
    public $jobs;

    public function __construct(int $code = self::OK, int $errCode = 0, string $content = '')
    {
        $this->code = $code;
        $this->errCode = $errCode;
        $this->content = $content;
    }

    /** What a handler's exception becomes. */
    public static function ofThrowable(\Throwable $e): self
    {
        $message = self::describe($e);
        for ($cause = $e->getPrevious(); $cause !== null && strlen($message) < self::MESSAGE_MAX; $cause = $cause->getPrevious()) {
            $message .= '; caused by ' . self::describe($cause);
        }
        return new self(self::FAILED, (int) $e->getCode() ?: 1, $message);
    }

    /** A message of many megabytes is cut before it is copied: there may be no memory for that. */
    private static function describe(\Throwable $e): string
    {
        return get_class($e) . ': ' . self::shorten($e->getMessage(), intdiv(self::MESSAGE_MAX, 2)) . " in {$e->getFile()}:{$e->getLine()}";
    }

    /** @internal a message of at most so many bytes */
    public static function shorten(string $text, int $max = self::MESSAGE_MAX): string
    {
        if (strlen($text) <= $max) {
            return $text;
        }
        $end = $max;
        while ($end > $max - 4 && (ord($text[$end]) & 0xc0) === 0x80) {
            $end--; // not within a character
        }
        return substr($text, 0, $end) . '... (' . strlen($text) . ' bytes)';
    }
}
