<?php

namespace Pepper\Bus;

/**
 * Base of everything the SDK throws.
 *
 * Arguments are taken out of the trace, whatever zend.exception_ignore_args says: they may
 * hold passwords and job contents, and traces end up in logs.
 */
class BusException extends \RuntimeException
{
    /** @var string[] */
    private $acceptedIds = [];

    public function __construct(string $message, int $code = 0, ?self $previous = null)
    {
        parent::__construct($message, $code, $previous);
        $trace = new \ReflectionProperty(\Exception::class, 'trace');
        \PHP_VERSION_ID < 80100 && $trace->setAccessible(true);
        $trace->setValue($this, array_map(static function (array $frame): array {
            unset($frame['args']);
            return $frame;
        }, $this->getTrace()));
    }

    /**
     * Ids of the jobs that addJobs() had already added when it failed: they are stored and
     * will run. Empty for every other call.
     *
     * @return string[]
     */
    public function getAcceptedIds(): array
    {
        return $this->acceptedIds;
    }

    /**
     * @internal
     * @param string[] $ids
     * @return $this
     */
    public function withAcceptedIds(array $ids): self
    {
        $this->acceptedIds = $ids;
        return $this;
    }
}
