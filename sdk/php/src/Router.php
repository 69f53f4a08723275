<?php

namespace Pepper\Bus;

/** The handlers of one worker file, and how a request goes through them. */
final class Router
{
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
        $callable = $this->callable($request);
        $result = $callable(self::wantsJob($callable) ? new Job($job, $request) : $request);
        if (is_string($result)) {
            return $result;
        }
        return $result === null ? '' : (string) json_encode($result, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
    }

    private function handleJobs(Request $request): Response
    {
        $guard = Guard::install();
        $count = count($request->jobs);
        $this->results = [];
        $this->thrown = null;
        // Should the script end inside a handler: that job failed, the ones before keep
        // their outcome, and the ones after go back untouched.
        $guard->whenEnded(function (string $why) use ($request): Response {
            $at = count($this->results);
            foreach (array_slice($request->jobs, $at) as $i => $job) {
                $this->results[] = $i === 0
                    ? self::result($job, Response::FAILED, $why)
                    : self::result($job, Response::NOT_REGISTERED, "not run: job {$request->jobs[$at]['id']} ended the script");
            }
            return $this->response(1);
        });
        $errCode = 0;
        foreach ($request->jobs as $i => $job) {
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
        }
        $guard->whenEnded(null);
        return $this->response($errCode);
    }

    private function response(int $errCode): Response
    {
        if (count($this->results) === 1) {
            return new Response($this->results[0]['code'], $errCode, $this->results[0]['msg']);
        }
        $allDone = array_unique(array_column($this->results, 'code')) === [Response::OK];
        return new Response($allDone ? Response::OK : Response::EACH_JOB, $errCode, (string) json_encode(
            $this->results,
            JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE
        ));
    }

    /**
     * @param array<string,mixed> $job
     * @return array{id:string,code:int,msg:string}
     */
    private static function result(array $job, int $code, string $message): array
    {
        return ['id' => (string) $job['id'], 'code' => $code, 'msg' => $message];
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

    /** @param array{object,string} $callable */
    private static function wantsJob(array $callable): bool
    {
        if (!method_exists(...$callable)) {
            return false; // __call
        }
        $parameters = (new \ReflectionMethod(...$callable))->getParameters();
        $type = $parameters ? $parameters[0]->getType() : null;
        if (!$type instanceof \ReflectionNamedType) {
            return false;
        }
        // Makes a global alias such as Request known: PHP does not load classes for a type check.
        $type->isBuiltin() || class_exists($type->getName());
        return is_a(Job::class, $type->getName(), true);
    }
}
