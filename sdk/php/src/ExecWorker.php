<?php

namespace Pepper\Bus;

/**
 * Answers what the run type `exec` brings: one request for each start of the process, or, for
 * resident workers, a line of JSON for each request, until the broker closes standard input.
 *
 * Standard output belongs to the answers. What handlers and the programs they start print goes to
 * standard error instead, that is to the broker's log; the constant STDOUT is closed.
 */
final class ExecWorker
{
    /** sysexits.h: how a process says what a request's code says */
    private const EXIT_CODES = [
        Response::OK => 0,
        Response::EACH_JOB => 207,
        Response::BAD_REQUEST => 64,
        Response::NOT_REGISTERED => 69,
    ];
    private const EXIT_FAILED = 70;
    private const LOOK_S = 60; // for a signal that came just before the wait

    /** @var Router */
    private $router;
    /** @var resource where answers go */
    private $out;
    /** @var resource what took the place of standard output */
    private $stray;
    /** @var bool */
    private $stop = false;
    /** @var string trace id of the request under way */
    private $trace = '';

    public function __construct(Router $router)
    {
        $this->router = $router;
    }

    /** Whether the broker started this process: "" no, "once" or "resident". */
    public static function mode(): string
    {
        if (\PHP_SAPI !== 'cli' || getenv('PEPPERBUS_QUEUE') === false || getenv('PEPPERBUS_HOST') !== false) {
            return '';
        }
        return getenv('PEPPERBUS_TYPE') === false ? 'resident' : 'once';
    }

    /**
     * Answers line after line. Ends when standard input does, or after the request under way at
     * SIGTERM where ext-pcntl is there.
     */
    public function serve(): void
    {
        $this->takeOutput();
        if (function_exists('pcntl_signal')) {
            pcntl_async_signals(true);
            pcntl_signal(SIGTERM, function (): void {
                $this->stop = true;
            }, false);
        }
        Guard::install()->answerBy(function (Response $response): void {
            $this->stop = true;
            $this->answer($response);
        });
        while (!$this->stop) {
            $read = [STDIN];
            $write = $except = null;
            if (!@stream_select($read, $write, $except, self::LOOK_S)) {
                continue; // a signal, which fgets() would not tell of
            }
            $line = fgets(STDIN);
            if ($line === false || substr($line, -1) !== "\n") {
                return; // half a request is none
            }
            $began = microtime(true);
            $fields = json_decode($line, true, 64, JSON_BIGINT_AS_STRING);
            if (trim($line) === '') {
                continue;
            }
            $this->trace = is_array($fields) && is_string($fields['outTraceId'] ?? null) ? $fields['outTraceId'] : '';
            $level = ob_get_level();
            $response = is_array($fields)
                ? $this->router->handle(Request::fromLine($fields, $began))
                : new Response(Response::BAD_REQUEST, 1, 'the request is not a line of JSON: ' . json_last_error_msg());
            if (!Guard::install()->isOurs()) {
                exit(0); // a process that the handler forked came back from it: its parent answers
            }
            $this->answer($response);
            while (ob_get_level() > $level) {
                ob_end_flush();
            }
        }
    }

    /**
     * Answers the request that this process was started for.
     *
     * @return int exit code
     */
    public function once(): int
    {
        $this->takeOutput();
        Guard::install()->answerBy(function (Response $response): void {
            exit($this->finish($response));
        });
        $type = (string) getenv('PEPPERBUS_TYPE');
        $this->trace = (string) getenv('PEPPERBUS_TRACE_ID');
        $response = $this->router->handle(Request::fromLine([
            'type' => $type,
            'queue' => (string) getenv('PEPPERBUS_QUEUE'),
            'topic' => (string) getenv('PEPPERBUS_TOPIC'),
            'outTraceId' => $this->trace,
            'jobs' => $type === 'data' ? json_decode((string) stream_get_contents(STDIN), true, 64, JSON_BIGINT_AS_STRING) : null,
        ], (float) ($_SERVER['REQUEST_TIME_FLOAT'] ?? microtime(true))));
        return Guard::install()->isOurs() ? $this->finish($response) : 0;
    }

    private function takeOutput(): void
    {
        $this->out = fopen('php://fd/1', 'w'); // a copy of the descriptor
        fclose(STDOUT);
        $this->stray = fopen('php://fd/2', 'w'); // gets the lowest free number, which is 1
    }

    private function finish(Response $response): int
    {
        if (getenv('PEPPERBUS_VERDICT') === 'line' && $this->trace !== '') {
            // Before shutdown functions and destructors, which can change an exit code.
            $this->answer($response);
            return self::EXIT_CODES[$response->code] ?? self::EXIT_FAILED;
        }
        if (isset(self::EXIT_CODES[$response->code])) {
            $this->write($response->content . "\n");
            return self::EXIT_CODES[$response->code];
        }
        fwrite(STDERR, $response->content . "\n");
        return self::EXIT_FAILED;
    }

    private function answer(Response $response): void
    {
        if ($this->stop) {
            fclose(STDIN); // first: whoever reads the answer must not send another request here
        }
        $answer = ['code' => $response->code];
        if ($response->errCode !== 0) {
            $answer['error_code'] = $response->errCode;
        }
        if ($this->trace !== '') {
            $answer['outTraceId'] = $this->trace;
        }
        if ($response->topics !== null) {
            $answer['topics'] = $response->topics === '' ? [] : explode(',', $response->topics);
        } elseif ($response->jobs !== null) {
            $answer['code'] = Response::EACH_JOB;
            $answer['jobs'] = $response->jobs;
        } else {
            $answer['msg'] = $response->content;
        }
        $this->write(json_encode($answer, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
    }

    private function write(string $text): void
    {
        for ($at = 0; $at < strlen($text); $at += $n) {
            $n = (int) @fwrite($this->out, $at === 0 ? $text : substr($text, $at));
            if ($n === 0) {
                $this->stop = true; // the broker is gone, and will run the jobs again
                return;
            }
        }
    }
}
