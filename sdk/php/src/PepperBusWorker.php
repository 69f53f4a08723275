<?php

namespace Pepper\Bus;

/**
 * A resident worker that pulls its jobs from the command line, for what cannot run in php-fpm.
 *
 *     php worker.php -q queue -t topic [-h host] [-p port] [-a password] [-H Class::method]
 *
 * where worker.php loads the SDK and the handler's class, and ends with
 * `exit((new PepperBusWorker())->run());`. The password is better given in the environment
 * variable PEPPERBUS_PASSWORD: arguments can be read by every user of the machine.
 *
 * Jobs are taken by RPOP, that is AT MOST ONCE: a job whose handler fails, or that is under
 * way when the process or the connection dies, does not come back. onFailure() lets the
 * application keep such a job. Workers behind php-fpm have no such limit.
 */
final class PepperBusWorker
{
    private const IDLE_MIN_MS = 20;
    private const IDLE_MAX_MS = 1000;

    /** @var Router */
    private $router;
    /** @var callable|null */
    private $onFailure;
    /** @var bool */
    private $stop = false;

    public function __construct()
    {
        $this->router = new Router();
    }

    /**
     * @param string|object $class
     * @return $this
     * @throws ConfigException registered twice
     */
    public function register(string $path, $class, ?string $method = null): self
    {
        $parts = explode('/', $path, 2);
        $this->router->register($parts[0], $parts[1] ?? 'default', $class, $method);
        return $this;
    }

    /**
     * @param callable $keep gets the Request that holds the job, and the \Throwable
     * @return $this
     */
    public function onFailure(callable $keep): self
    {
        $this->onFailure = $keep;
        return $this;
    }

    /** Ends run() after the job under way. SIGTERM and SIGINT do so where ext-pcntl is there. */
    public function stop(): void
    {
        $this->stop = true;
    }

    /**
     * Handles jobs until it is stopped.
     *
     * @param array<string,string>|null $options instead of the command line's
     * @return int exit code: 0 stopped, 64 wrong options, 77 wrong password
     */
    public function run(?array $options = null): int
    {
        $options = $options ?? (getopt('q:t:h:p:a:H:') ?: []);
        [$queue, $topic] = explode('/', ($options['q'] ?? '') . '/', 2);
        $topic = $options['t'] ?? (rtrim($topic, '/') ?: 'default');
        $password = (string) ($options['a'] ?? getenv('PEPPERBUS_PASSWORD'));
        try {
            if (isset($options['H'])) {
                $this->register("$queue/$topic", ...explode('::', $options['H'], 2));
            }
            if (!in_array("$queue/$topic", $this->router->paths(), true)) {
                throw new ConfigException("no handler for \"$queue/$topic\": give -q, -t and -H, or register() it");
            }
            if (($fault = $this->router->fault("$queue/$topic")) !== '') {
                throw new ConfigException($fault); // each job would be taken, and lost
            }
            $server = new Server(['host' => $options['h'] ?? '127.0.0.1', 'port' => $options['p'] ?? Server::DEFAULT_PORT]);
            $config = new Config(['servers' => [['host' => $server->host]]]);
        } catch (ConfigException $e) {
            $this->log($e->getMessage());
            return 64;
        }
        if (isset($options['a'])) {
            @cli_set_process_title("pepperbus worker $queue/$topic");
        }
        if (function_exists('pcntl_signal')) {
            pcntl_signal(SIGTERM, [$this, 'stop']);
            pcntl_signal(SIGINT, [$this, 'stop']);
        }
        return $this->pull($config, $server, $queue, $topic, $password);
    }

    private function pull(Config $config, Server $server, string $queue, string $topic, string $password): int
    {
        $session = null;
        $idle = self::IDLE_MIN_MS;
        while (!$this->stopped()) {
            try {
                $session = $session ?? new Session($server, $config->connection($server));
                $session->auth("$queue/$topic", $password);
                $reply = $session->call(['RPOP', "$queue/$topic"]);
                if ($reply !== null) {
                    $this->handle((string) $reply, $queue, $topic);
                    $idle = self::IDLE_MIN_MS;
                    continue;
                }
            } catch (AuthException $e) {
                $this->log($e->getMessage());
                return 77;
            } catch (BusException $e) {
                $this->log("{$e->getMessage()}; trying again (a job whose reply was lost does not come back)");
                $session === null || $session->close();
                $session = null;
            }
            usleep($idle * 1000);
            $idle = min($idle * 2, self::IDLE_MAX_MS);
        }
        return 0;
    }

    /**
     * Signals are asked for here and not taken as they come: one that came while an exception was on
     * its way, as that of a lost connection, would find PHP unable to call its handler, and be lost.
     */
    private function stopped(): bool
    {
        if (function_exists('pcntl_signal_dispatch')) {
            pcntl_signal_dispatch();
        }
        return $this->stop;
    }

    private function handle(string $reply, string $queue, string $topic): void
    {
        $data = json_decode($reply, true);
        $request = Request::fromFields([
            'IS_PEPPER_BUS_REQUEST' => 'true',
            'type' => 'data',
            'queue' => $queue,
            'topic' => $topic,
            'jobs' => json_encode($data['jobs'] ?? []),
        ]);
        foreach (array_keys($request->jobs) as $i) {
            $one = $request->only($i);
            try {
                $this->router->call($one);
            } catch (\Throwable $e) {
                $this->log("job {$one->jobs[0]['id']} failed: " . Response::ofThrowable($e)->content);
                $this->onFailure === null || ($this->onFailure)($one, $e);
            }
        }
        if ($request->problem !== '') {
            $this->log("RPOP was answered by something else than jobs: $request->problem");
        }
    }

    private function log(string $message): void
    {
        fwrite(STDERR, "pepperbus worker: $message\n");
    }
}
