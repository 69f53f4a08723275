<?php

namespace Pepper\Bus;

/**
 * Stands around a worker request, so that the broker gets exactly one clear answer.
 *
 * It keeps stray output away from the answer, and answers 500 when the script ends in any
 * other way than through commit(): a fatal error, exit(), fastcgi_finish_request(). What
 * never happens: a success that no handler earned.
 */
final class Guard
{
    private const FATAL = E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR;
    private const KEEP_STRAY = 300;

    /** @var self|null */
    private static $instance;

    /** @var string|null freed when memory has run out */
    private $reserve;
    /** @var int the process that owes the answer */
    private $pid = 0;
    /** @var bool the answer is given */
    private $committed = false;
    /** @var bool the headers have left before the answer, and say that a list of outcomes follows */
    private $listPromised = false;
    /** @var Response|null what was answered: sealed, whatever the script does afterwards */
    private $sealed;
    /** @var callable|null builds the answer from the reason */
    private $whenEnded;
    /** @var callable|null gives the answer where php-fpm does not */
    private $send;
    /** @var bool commit() has begun to clear the buffers */
    private $clearing = false;
    /** @var string beginning of the stray output */
    private $stray = '';
    /** @var int */
    private $strayBytes = 0;

    /** Once per PHP request; later calls return the same. */
    public static function install(): self
    {
        if (self::$instance === null) {
            self::$instance = new self();
            if (\PHP_SAPI !== 'cli') {
                self::$instance->start();
            }
        }
        return self::$instance;
    }

    private function start(): void
    {
        class_exists(Response::class); // nothing may have to be loaded after a fatal error
        $this->reserve = str_repeat('x', 32768);
        $this->pid = (int) getmypid();
        // Errors belong into the log. Shown, they would be output; and when memory has run out,
        // PHP throws the buffers away and shows the error before anybody can answer.
        if (ini_get('display_errors')) {
            ini_set('display_errors', '0');
            ini_set('log_errors', '1');
        }
        register_shutdown_function([$this, 'shutdown']);
        header_register_callback([$this, 'beforeHeaders']);
        $this->swallowOutput();
    }

    /** @param callable|null $build gets the reason, returns the Response */
    public function whenEnded(?callable $build): void
    {
        $this->whenEnded = $build;
    }

    /**
     * For requests that do not come by php-fpm, whose answers are not commit()'s.
     *
     * @param callable $send gets the Response when the script ends within a request
     */
    public function answerBy(callable $send): void
    {
        class_exists(Response::class);
        $this->reserve = str_repeat('x', 32768);
        $this->pid = (int) getmypid();
        $this->send = $send;
        register_shutdown_function([$this, 'shutdown']);
    }

    /** The headers have left without a verdict, so no success can be told any more. */
    public function isTooLate(): bool
    {
        return \PHP_SAPI !== 'cli' && !$this->committed && !$this->listPromised && headers_sent();
    }

    /** False in a process that a handler forked: the answer is its parent's to give. */
    public function isOurs(): bool
    {
        return $this->pid === 0 || $this->pid === (int) getmypid();
    }

    /** Sends the answer. Only the first call counts. */
    public function commit(Response $response): void
    {
        if (!$this->isOurs()) {
            $this->leaveToParent();
        }
        if ($this->committed) {
            return;
        }
        // An application's error handler may make exceptions of warnings that mean nothing here.
        set_error_handler(static function (): bool {
            return true;
        });
        try {
            $this->answer($response);
        } finally {
            restore_error_handler();
        }
    }

    private function answer(Response $response): void
    {
        $tooLate = $this->isTooLate();
        $this->committed = true;
        $this->clear();
        $this->logStray();
        if ($tooLate) {
            headers_sent($file, $line);
            error_log("pepperbus worker: the verdict $response->code could not be sent and counts as a failure, "
                . "because output had already been sent at $file:$line");
            return;
        }
        $this->sealed = $response;
        if (\PHP_SAPI !== 'cli') {
            header_register_callback([$this, 'beforeHeaders']); // an application may have put its own there
        }
        if (!headers_sent()) {
            $this->writeHead($response);
        }
        echo $this->listPromised && $response->list !== null ? ($response->list)() : $response->content;
        if (\PHP_SAPI !== 'cli') {
            $this->swallowOutput();
        }
    }

    /** @internal what the script prints itself goes nowhere */
    public function swallow(string $output, int $phase): string
    {
        if ($output !== '' && !$this->clearing) {
            $this->keepStray($output);
        }
        if ($this->committed) {
            if ($phase & PHP_OUTPUT_HANDLER_FINAL && !$this->clearing) {
                $this->logStray();
            }
            return '';
        }
        // The request is being closed under the handler: say so while it can be said.
        return $phase & PHP_OUTPUT_HANDLER_FINAL && $this->isFinishedEarly()
            ? 'the handler called fastcgi_finish_request(): its outcome cannot be told to the broker'
            : '';
    }

    private function writeHead(Response $response): void
    {
        header_remove(); // a handler's Location or Content-Encoding is not meant for the broker
        http_response_code(200);
        header('Content-Type: text/plain; charset=utf-8');
        header("Code: $response->code");
        header("Error-Code: $response->errCode");
        if ($response->topics !== null) {
            header("Consume-Topics: $response->topics");
        }
    }

    /**
     * @internal headers are about to leave
     *
     * Where the answer has no text they leave at the very end, after shutdown functions and
     * destructors, which may have changed them. A handler's flush() (which sends them since PHP 8.4) is
     * too early for a verdict: then it is in the body. Without the list each job has failed.
     */
    public function beforeHeaders(): void
    {
        if ($this->sealed !== null) {
            $this->writeHead($this->sealed);
        } elseif (!$this->committed) {
            $this->listPromised = $this->whenEnded !== null && !$this->isFinishedEarly();
            http_response_code(200);
            header('Code: ' . ($this->listPromised ? Response::EACH_JOB : Response::FAILED));
            header('Error-Code: 1');
        }
    }

    /** @internal the script has ended, in whichever way */
    public function shutdown(): void
    {
        $this->reserve = null;
        if (!$this->isOurs()) {
            $this->leaveToParent();
            return;
        }
        if ($this->committed) {
            headers_sent() || http_response_code(200); // an error after the answer changes nothing
            return;
        }
        $error = error_get_last();
        if ($error !== null && $error['type'] & self::FATAL) {
            @ini_set('memory_limit', (string) (memory_get_usage(true) + 16777216));
            $why = strtok($error['message'], "\n"); // the rest is a trace, with arguments
            $why .= strpos($why, $error['file']) === false ? " in {$error['file']}:{$error['line']}" : '';
        } elseif ($this->whenEnded !== null) {
            $why = 'worker called exit';
        } else {
            $why = 'the worker file ended without an answer: it has to end with do()';
        }
        if ($this->send === null) {
            $this->commit($this->whenEnded !== null
                ? ($this->whenEnded)($why)
                : new Response(Response::FAILED, 1, $why));
        } elseif ($this->whenEnded !== null) {
            ($this->send)(($this->whenEnded)($why));
        }
    }

    /**
     * A process that a handler forked has the parent's connection to php-fpm: at its end PHP would
     * write the end of the parent's answer there. So it ends without PHP's own end. Started by the
     * broker it just says nothing.
     */
    private function leaveToParent(): void
    {
        $this->committed = true;
        if ($this->send === null && \PHP_SAPI !== 'cli' && function_exists('posix_kill')) {
            posix_kill((int) getmypid(), SIGKILL);
        }
    }

    private function swallowOutput(): void
    {
        ob_start([$this, 'swallow'], 4096);
    }

    private function isFinishedEarly(): bool
    {
        foreach (debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS) as $frame) {
            if (in_array($frame['function'], ['fastcgi_finish_request', 'litespeed_finish_request'], true)) {
                return true;
            }
        }
        return false;
    }

    /** Empties and removes all output buffers, whoever made them. */
    private function clear(): void
    {
        $this->clearing = true;
        while (\PHP_SAPI !== 'cli' && ob_get_level() > 0) {
            $this->keepStray((string) ob_get_contents());
            if (!@ob_end_clean()) {
                break;
            }
        }
        $this->clearing = false;
    }

    private function keepStray(string $output): void
    {
        $this->strayBytes += strlen($output);
        $this->stray .= substr($output, 0, max(0, self::KEEP_STRAY - strlen($this->stray)));
    }

    private function logStray(): void
    {
        if ($this->strayBytes > 0) {
            error_log("pepperbus worker: dropped $this->strayBytes bytes of output: " . addcslashes($this->stray, "\0..\37\177..\377"));
        }
        $this->stray = '';
        $this->strayBytes = 0;
    }
}
