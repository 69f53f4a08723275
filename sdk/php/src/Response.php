<?php

namespace Pepper\Bus;

/** A worker's answer to the broker. */
class Response
{
    const OK = 200;
    const EACH_JOB = 207;
    const BAD_REQUEST = 400;
    const NOT_REGISTERED = 404;
    const FAILED = 500;

    /** @var int what becomes of the jobs */
    public $code;
    /** @var int 0: no error */
    public $errCode;
    /** @var string message */
    public $content;
    /** @var string|null ping: comma list of "queue/topic" */
    public $topics;

    public function __construct(int $code = self::OK, int $errCode = 0, string $content = '')
    {
        $this->code = $code;
        $this->errCode = $errCode;
        $this->content = $content;
    }

    /** What a handler's exception becomes. */
    public static function ofThrowable(\Throwable $e): self
    {
        $where = "{$e->getFile()}:{$e->getLine()}";
        $message = get_class($e) . ": {$e->getMessage()} in $where";
        for ($cause = $e->getPrevious(); $cause !== null; $cause = $cause->getPrevious()) {
            $message .= '; caused by ' . get_class($cause) . ": {$cause->getMessage()} in {$cause->getFile()}:{$cause->getLine()}";
        }
        return new self(self::FAILED, (int) $e->getCode() ?: 1, $message);
    }
}
