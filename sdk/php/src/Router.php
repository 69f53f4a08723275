<?php

namespace Pepper\Bus;

/** The handlers of one worker file, and how a request goes through them. */
final class Router
{
    private const MESSAGES_MAX = 1 << 18; // bytes, of all jobs of a request

    /** @var array<string,Handler> by "queue/topic" */
    private $handlers = [];
    /** @var array<int,array{id:string,code:int,msg:string}> what is known of the jobs so far; a verdict in it is sealed */
    private $results = [];
    /** @var \Throwable|null */
    private $thrown;

    /**
     * @param mixed $class
     * @throws ConfigException registered twice, or not a name, or nothing that can be called
     */
    public function register(string $queue, string $topic, $class, ?string $function): void
    {
        $topic = $topic === '' ? 'default' : $topic;
        $path = "$queue/$topic";
        if ($queue === '' || strpbrk($queue . $topic, "/, \r\n") !== false) {
            throw new ConfigException("\"$path\" is not a queue and a topic");
        }
        if (isset($this->handlers[$path])) {
            throw new ConfigException("$path is registered twice");
        }
        $this->handlers[$path] = new Handler($path, $class, $function);
    }

    /** @return string[] "queue/topic" of all */
    public function paths(): array
    {
        return array_keys($this->handlers);
    }

    /** Why no job of this path can be handled; empty: nothing is in the way. */
    public function fault(string $path): string
    {
        return isset($this->handlers[$path]) ? $this->handlers[$path]->fault() : "$path is not registered";
    }

    public function has(Request $request): bool
    {
        return isset($this->handlers[$request->getQueuePath()]);
    }

    /** What the handler of the last request threw, when that held one job. */
    public function thrown(): ?\Throwable
    {
        return $this->thrown;
    }

    /** Never throws: a handler's exception is the outcome of its job. */
    public function handle(Request $request): Response
    {
        if (!$request->isQueueRequest()) {
            return new Response(Response::NOT_REGISTERED, 1, 'this is a Pepperbus worker, and the request does not come from a broker');
        }
        if ($request->refusal !== '') {
            return new Response(Response::REFUSED, 1, $request->refusal);
        }
        if ($request->problem !== '') {
            return new Response(Response::BAD_REQUEST, 1, $request->problem);
        }
        $handler = $this->handlers[$request->getQueuePath()] ?? null;
        $fault = $handler === null ? '' : $handler->fault();
        if ($request->type === 'ping') {
            if ($fault !== '') {
                return new Response(Response::FAILED, 1, $fault);
            }
            $response = new Response(Response::OK, 0, implode(',', $this->paths()));
            $response->topics = $response->content;
            return $response;
        }
        if ($handler === null) {
            return new Response(Response::NOT_REGISTERED, 1, "{$request->getQueuePath()} is not registered in this file; registered: "
                . (implode(', ', $this->paths()) ?: 'nothing'));
        }
        if ($fault !== '') {
            // No job can be run: they go back, and wait until a ping passes.
            return new Response(Response::NOT_REGISTERED, 1, $fault);
        }
        return $this->handleJobs($request);
    }

    /**
     * Runs the handler with a request that holds one job.
     *
     * @return string the message: what the handler returned
     * @throws \Throwable whatever the handler throws
     */
    public function call(Request $request): string
    {
        return self::message($this->run($request, $kept));
    }

    /**
     * @param mixed $kept gets the handler's object: its destructor must not run before the verdict is sealed
     * @return mixed what the handler returned
     * @throws \Throwable
     */
    private function run(Request $request, &$kept)
    {
        $job = $request->jobs[0];
        if (isset($job['problem'])) {
            throw new InvalidJobException($job['problem']);
        }
        $handler = $this->handlers[$request->getQueuePath()];
        $takes = $handler->takes();
        $callable = $handler->callable($kept);
        if ($takes === Batch::class) {
            $batch = new Batch($request);
            $returned = $callable($batch);
            [$result] = $batch->results(Response::OK, '');
            if ($result['code'] !== Response::OK) {
                throw new BusException($result['msg']);
            }
            return $result['msg'] === '' ? $returned : $result['msg'];
        }
        return $callable($takes === Job::class ? new Job($job, $request) : $request);
    }

    private function handleJobs(Request $request): Response
    {
        $this->results = [];
        $this->thrown = null;
        $handler = $this->handlers[$request->getQueuePath()];
        $together = count($request->jobs) > 1 && $handler->takes() === Batch::class;
        return $together ? $this->handleTogether($request, $handler) : $this->handleOneByOne($request);
    }

    private function handleOneByOne(Request $request): Response
    {
        $guard = Guard::install();
        $count = count($request->jobs);
        $running = 0;
        // Should the script end inside a handler: that job failed, the ones before keep
        // their outcome, and the ones after go back untouched.
        $guard->whenEnded(function (string $why) use ($request, &$running): Response {
            if (isset($this->results[$running])) {
                // Its handler had ended: what came after it changes no verdict.
                $this->results[$running]['msg'] .= self::note($this->results[$running]['msg'], "after it the script ended: $why");
            } else {
                $this->results[$running] = self::result($request->jobs[$running], Response::FAILED, $why);
            }
            return $this->notRun($request, "job {$request->jobs[$running]['id']} ended the script");
        });
        $errCode = 0;
        $longest = 0.0;
        foreach ($request->jobs as $i => $job) {
            $running = $i;
            $began = microtime(true);
            // At the deadline the outcome of all would be lost: whoever has no time left goes back.
            if ($i > 0 && $request->deadline !== null && $began + $longest > $request->deadline) {
                $this->notRun($request, sprintf('%.3f s are left of the timeout, and a job took %.3f s', $request->deadline - $began, $longest));
                break;
            }
            $kept = $returned = null;
            try {
                $returned = $this->run($request->only($i), $kept);
                $this->results[$i] = self::result($job, Response::OK, '');
            } catch (\Throwable $e) {
                $failed = Response::ofThrowable($e);
                $errCode = $failed->errCode;
                $this->thrown = $count === 1 ? $e : null;
                $this->results[$i] = self::result($job, $failed->code, $failed->content);
            }
            $this->finish($i, $returned, $kept);
            if ($guard->isTooLate() && $i + 1 < $count) {
                break; // nobody would hear of the outcome of the others
            }
            $longest = max($longest, microtime(true) - $began);
        }
        $guard->whenEnded(null);
        return $this->response($errCode);
    }

    /**
     * What is left to do when the verdict of a job is sealed: its message, and the end of the handler's
     * object. Whatever goes wrong here is a note beside the verdict.
     *
     * @param mixed $returned
     * @param mixed $kept
     */
    private function finish(int $i, &$returned, &$kept): void
    {
        if ($this->results[$i]['code'] === Response::OK) {
            $this->results[$i]['msg'] = Response::shorten(self::message($returned));
        }
        try {
            $returned = $kept = null;
        } catch (\Throwable $e) {
            error_log('pepperbus worker: thrown after a job was over, which changes nothing: ' . Response::ofThrowable($e)->content);
        }
    }

    /** The handler takes all jobs in one call. */
    private function handleTogether(Request $request, Handler $handler): Response
    {
        $guard = Guard::install();
        $batch = new Batch($request);
        $ended = false;
        $guard->whenEnded(function (string $why) use ($batch, &$ended): Response {
            $this->results = $ended
                ? $batch->results(Response::OK, "after it the script ended: $why")
                : $batch->results(Response::FAILED, $why);
            return $this->response($ended ? 0 : 1);
        });
        $errCode = 0;
        $kept = $returned = null;
        try {
            if (count($batch) > 0) {
                $returned = ($handler->callable($kept))($batch);
            }
            $ended = true;
            $this->results = $batch->results(Response::OK, self::message($returned));
        } catch (\Throwable $e) {
            $ended = true;
            $failed = Response::ofThrowable($e);
            $errCode = $failed->errCode;
            $this->results = $batch->results($failed->code, $failed->content);
            $guard->whenEnded(function () use ($errCode): Response {
                return $this->response($errCode);
            });
        }
        try {
            $returned = $kept = null;
        } catch (\Throwable $e) {
            error_log('pepperbus worker: thrown after the jobs were over, which changes nothing: ' . Response::ofThrowable($e)->content);
        }
        $guard->whenEnded(null);
        return $this->response($errCode);
    }

    /** The jobs without a result go back to their queue, no attempt counted. */
    private function notRun(Request $request, string $why): Response
    {
        foreach (array_slice($request->jobs, count($this->results)) as $job) {
            $this->results[] = self::result($job, Response::NOT_REGISTERED, "not run: $why");
        }
        return $this->response(1);
    }

    private function response(int $errCode): Response
    {
        $count = count($this->results);
        $allDone = array_unique(array_column($this->results, 'code')) === [Response::OK];
        $errCode = $allDone ? 0 : $errCode;
        if ($count === 1) {
            $response = new Response($this->results[0]['code'], $errCode, $this->results[0]['msg']);
            $response->list = function (): string {
                return $this->listed();
            };
            return $response;
        }
        // Answers have a limit (max_response, max_output), beyond which every outcome is lost. Its
        // default leaves room for 10,000 jobs, the largest chunk there is.
        $max = intdiv(self::MESSAGES_MAX, $count);
        foreach ($this->results as $i => $result) {
            $this->results[$i]['msg'] = Response::shorten($result['msg'], $max);
        }
        $response = new Response($allDone ? Response::OK : Response::EACH_JOB, $errCode, $this->listed());
        $response->jobs = $this->results;
        return $response;
    }

    /** The outcomes as the broker reads them in a body. */
    private function listed(): string
    {
        return (string) json_encode(
            $this->results,
            JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE
        );
    }

    /**
     * What a handler returned, as a message. Never throws: the job is done, whatever its value is.
     *
     * @param mixed $result
     */
    private static function message($result): string
    {
        if (is_string($result)) {
            return $result;
        }
        try {
            $json = $result === null ? '' : json_encode($result, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
        } catch (\Throwable $e) {
            return 'done; what the handler returned cannot be shown: ' . Response::ofThrowable($e)->content;
        }
        return $json === false ? 'done; what the handler returned cannot be shown: ' . json_last_error_msg() : $json;
    }

    private static function note(string $message, string $note): string
    {
        return ($message === '' ? '' : '; ') . Response::shorten($note);
    }

    /**
     * @param array<string,mixed> $job
     * @return array{id:string,code:int,msg:string}
     */
    private static function result(array $job, int $code, string $message): array
    {
        return ['id' => (string) $job['id'], 'code' => $code, 'msg' => Response::shorten($message)];
    }
}
