<?php

namespace Pepper\Bus;

/** The handlers of one worker file, and how a request goes through them. */
final class Router
{
    private const MESSAGES_MAX = 1 << 18; // bytes, of all jobs of a request

    /** @var array<string,array{mixed,string|null}> class (or object, or closure) and function by "queue/topic" */
    private $handlers = [];
    /** @var array<int,array{id:string,code:int,msg:string}> what is known of the jobs so far */
    private $results = [];
    /** @var \Throwable|null */
    private $thrown;

    /**
     * @param string|object $class
     * @throws ConfigException registered twice, or not a name
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
        $this->handlers[$path] = [$class, $function];
    }

    /** @return string[] "queue/topic" of all */
    public function paths(): array
    {
        return array_keys($this->handlers);
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
        if ($request->type === 'ping') {
            $response = new Response(Response::OK, 0, implode(',', $this->paths()));
            $response->topics = $response->content;
            return $response;
        }
        if (!$this->has($request)) {
            return new Response(Response::NOT_REGISTERED, 1, "{$request->getQueuePath()} is not registered in this file; registered: "
                . (implode(', ', $this->paths()) ?: 'nothing'));
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
        $job = $request->jobs[0];
        if (isset($job['problem'])) {
            throw new InvalidJobException($job['problem']);
        }
        $wanted = $this->wanted($request);
        if (is_a(Batch::class, $wanted, true)) {
            $batch = new Batch($request);
            $message = self::message(($this->callable($request))($batch));
            [$result] = $batch->results(Response::OK, $message);
            if ($result['code'] !== Response::OK) {
                throw new BusException($result['msg']);
            }
            return $result['msg'];
        }
        return self::message(($this->callable($request))(is_a(Job::class, $wanted, true) ? new Job($job, $request) : $request));
    }

    private function handleJobs(Request $request): Response
    {
        $this->results = [];
        $this->thrown = null;
        try {
            $together = count($request->jobs) > 1 && is_a(Batch::class, $this->wanted($request), true);
        } catch (\Throwable $e) {
            $together = false; // its class cannot be loaded, as each job will tell
        }
        return $together ? $this->handleTogether($request) : $this->handleOneByOne($request);
    }

    private function handleOneByOne(Request $request): Response
    {
        $guard = Guard::install();
        $count = count($request->jobs);
        // Should the script end inside a handler: that job failed, the ones before keep
        // their outcome, and the ones after go back untouched.
        $guard->whenEnded(function (string $why) use ($request): Response {
            $at = count($this->results);
            $this->results[] = self::result($request->jobs[$at], Response::FAILED, $why);
            return $this->notRun($request, "job {$request->jobs[$at]['id']} ended the script");
        });
        $errCode = 0;
        $longest = 0.0;
        foreach ($request->jobs as $i => $job) {
            $began = microtime(true);
            // At the deadline the outcome of all would be lost: whoever has no time left goes back.
            if ($i > 0 && $request->deadline !== null && $began + $longest > $request->deadline) {
                $this->notRun($request, sprintf('%.3f s are left of the timeout, and a job took %.3f s', $request->deadline - $began, $longest));
                break;
            }
            try {
                $this->results[] = self::result($job, Response::OK, $this->call($request->only($i)));
            } catch (\Throwable $e) {
                $failed = Response::ofThrowable($e);
                $errCode = $failed->errCode;
                $this->thrown = $count === 1 ? $e : null;
                $this->results[] = self::result($job, $failed->code, $failed->content);
            }
            if ($guard->isTooLate() && $i + 1 < $count) {
                break; // nobody would hear of the outcome of the others
            }
            $longest = max($longest, microtime(true) - $began);
        }
        $guard->whenEnded(null);
        return $this->response($errCode);
    }

    /** The handler takes all jobs in one call. */
    private function handleTogether(Request $request): Response
    {
        $guard = Guard::install();
        $batch = new Batch($request);
        $guard->whenEnded(function (string $why) use ($batch): Response {
            $this->results = $batch->results(Response::FAILED, $why);
            return $this->response(1);
        });
        $errCode = 0;
        try {
            $message = count($batch) > 0 ? self::message(($this->callable($request))($batch)) : '';
            $this->results = $batch->results(Response::OK, $message);
        } catch (\Throwable $e) {
            $failed = Response::ofThrowable($e);
            $errCode = $failed->errCode;
            $this->results = $batch->results($failed->code, $failed->content);
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
        if ($count === 1) {
            $response = new Response($this->results[0]['code'], $errCode, $this->results[0]['msg']);
            $response->list = $this->listed();
            return $response;
        }
        // Answers have a limit (max_response, max_output), beyond which every outcome is lost. Its
        // default leaves room for 10,000 jobs, the largest chunk there is.
        $max = intdiv(self::MESSAGES_MAX, $count);
        foreach ($this->results as $i => $result) {
            $this->results[$i]['msg'] = Response::shorten($result['msg'], $max);
        }
        $allDone = array_unique(array_column($this->results, 'code')) === [Response::OK];
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

    /** @param mixed $result what a handler returned */
    private static function message($result): string
    {
        if (is_string($result)) {
            return $result;
        }
        return $result === null ? '' : (string) json_encode($result, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
    }

    /**
     * @param array<string,mixed> $job
     * @return array{id:string,code:int,msg:string}
     */
    private static function result(array $job, int $code, string $message): array
    {
        return ['id' => (string) $job['id'], 'code' => $code, 'msg' => Response::shorten($message)];
    }

    /** A new object for every job, so that none finds what another left behind. */
    private function callable(Request $request): callable
    {
        [$class, $function] = $this->handlers[$request->getQueuePath()];
        if (is_string($class) && !class_exists($class)) {
            throw new ConfigException("class $class, registered for {$request->getQueuePath()}, does not exist");
        }
        $object = is_string($class) ? new $class() : $class;
        $callable = [$object, $function ?? '__invoke'];
        if (!is_callable($callable)) {
            throw new ConfigException(get_class($object) . "::$callable[1](), registered for {$request->getQueuePath()}, does not exist or is not public");
        }
        return $callable;
    }

    /** The class that the handler's first parameter asks for, or something else. */
    private function wanted(Request $request): string
    {
        [$class, $function] = $this->handlers[$request->getQueuePath()];
        $function = $function ?? '__invoke';
        if (!method_exists($class, $function)) {
            return ''; // __call, or a fault that callable() tells
        }
        $parameters = (new \ReflectionMethod($class, $function))->getParameters();
        $type = $parameters ? $parameters[0]->getType() : null;
        if (!$type instanceof \ReflectionNamedType || $type->isBuiltin()) {
            return '';
        }
        // Makes a global alias such as Request known: PHP does not load classes for a type check.
        class_exists($type->getName());
        return $type->getName();
    }
}
