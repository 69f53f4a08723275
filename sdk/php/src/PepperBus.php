<?php

namespace Pepper\Bus;

/**
 * The two lines an application needs.
 *
 *     PepperBus::getInstance()->addJob($queue, $data);
 *     PepperBus::getInstance()->register($queue, $topic, $class, $function)->do();
 */
final class PepperBus
{
    private const MAIN = 'default';

    /** @var array<string,self> */
    private static $instances = [];
    /** @var array<string,array> configurations by name */
    private static $configured = [];

    /** @var string */
    private $name;
    /** @var array|null */
    private $conf;
    /** @var Producer|null */
    private $producer;
    /** @var Router */
    private $router;
    /** @var Signature|null */
    private $signature;

    private function __construct(string $name, ?array $conf)
    {
        $this->name = $name;
        $this->conf = $conf;
        $this->router = new Router();
    }

    /**
     * @param array|string|null $conf a configuration, the name of one, or nothing: the one given to
     *                                configure(), else the global variable $BUS_CONF
     */
    public static function getInstance($conf = null): self
    {
        $name = is_array($conf) ? 'conf:' . md5(serialize($conf)) : (string) ($conf ?? self::MAIN);
        return self::$instances[$name]
            ?? self::$instances[$name] = new self($name, is_array($conf) ? $conf : null);
    }

    /** Sets the configuration, see Config; several may be told apart by name. */
    public static function configure(array $conf, string $name = self::MAIN): void
    {
        self::$configured[$name] = $conf;
        if (isset(self::$instances[$name])) {
            self::$instances[$name]->producer = null;
        }
    }

    /** Whether there is a configuration of this name. */
    public static function isConfigured(string $name = self::MAIN): bool
    {
        return self::find($name) !== null;
    }

    /**
     * Adds one job. When it returns, the job is stored.
     *
     * @param mixed               $data    strings are sent as they are, everything else as JSON
     * @param array<string,mixed> $options delay, retry, ttl (seconds), maxlen (jobs), id (a token: the
     *                                     same one is not stored twice within 10 minutes), id_ttl
     *                                     (seconds instead of those 10 minutes, 10 to 86400)
     * @return string job id
     * @throws ConfigException         no usable configuration
     * @throws InvalidJobException     the data cannot be written as JSON, or an option is wrong
     * @throws AuthException           wrong password
     * @throws QueueNotFoundException
     * @throws QueueFullException
     * @throws JobTooLargeException
     * @throws StorageException        not accepted; may be stored in part
     * @throws ConnectionException     no server reached; nothing is stored
     * @throws UnknownOutcomeException may be stored or not
     * @throws BusException            any other refusal of the broker
     */
    public function addJob(string $queue, $data, array $options = []): string
    {
        return $this->producer()->addJob($queue, $data, $options);
    }

    /**
     * Adds many jobs with few commands (up to 500 jobs or 1 MB each).
     *
     * A command that may have arrived is never repeated: then UnknownOutcomeException is thrown.
     * getAcceptedIds() of any exception tells which jobs had been added by the commands before.
     *
     * @param array<mixed> $jobs as the data of addJob()
     * @return string[] job ids in the same order
     * @throws BusException as addJob()
     */
    public function addJobs(string $queue, array $jobs): array
    {
        return $this->producer()->addJobs($queue, $jobs);
    }

    /**
     * Says which class handles a topic's jobs. A new object is made for every job.
     *
     * @param string|object $class    name of a class whose constructor needs no arguments; or an object or closure
     * @param string|null   $function method; without one the object itself is called
     * @return $this
     * @throws ConfigException registered twice
     */
    public function register(string $queue, string $topic, $class, ?string $function = null): self
    {
        $this->router->register($queue, $topic, $class, $function);
        return $this;
    }

    /**
     * Takes only requests that the broker signed: the topic's `signing_key` must be one of these.
     * Without this call the configuration's "signing_keys" count, else the environment's
     * PEPPERBUS_SIGNING_KEY, else none is needed. Resident workers (run type exec) need none.
     *
     * @param string|string[] $keys      one, or several while they are changed
     * @param int             $tolerance seconds by which the clocks may differ
     * @param bool            $acceptV1  takes signatures of a broker of the release 0.1 as well
     * @return $this
     * @throws ConfigException a key is empty
     */
    public function signedWith($keys, int $tolerance = Signature::TOLERANCE, bool $acceptV1 = false): self
    {
        $this->signature = new Signature($keys, $tolerance, $acceptV1);
        return $this;
    }

    /**
     * Answers the broker's request, whichever way it came: by php-fpm or a web server (run types
     * cgi and http), or by a start of this file (exec). The last line of a worker file.
     */
    public function do(): void
    {
        $mode = ExecWorker::mode();
        if ($mode === 'resident') {
            $this->serve();
            return;
        }
        if ($mode === 'once') {
            exit((new ExecWorker($this->router))->once());
        }
        if (\PHP_SAPI === 'cli') {
            fwrite(STDERR, 'This is a Pepperbus worker, to be run by php-fpm. It registers: '
                . (implode(', ', $this->router->paths()) ?: 'nothing') . "\n");
            return;
        }
        $guard = Guard::install();
        if ($guard->isTooLate()) {
            // A success could not be told, so no job may be spent.
            headers_sent($file, $line);
            $guard->commit(new Response(Response::FAILED, 1, "output was sent at $file:$line"));
            return;
        }
        $signature = $this->signature ?? Signature::configured(self::find($this->name));
        $guard->commit($this->router->handle(Request::fromGlobals($signature)));
    }

    /**
     * Answers the requests of a resident worker (run type exec, `resident = yes`), a line each, until
     * the broker ends it. do() calls it where the broker started the process.
     */
    public function serve(): void
    {
        (new ExecWorker($this->router))->serve();
    }

    /** @internal */
    public function producer(): Producer
    {
        if ($this->producer === null) {
            $conf = $this->conf ?? self::find($this->name);
            if ($conf === null) {
                throw new ConfigException($this->name === self::MAIN
                    ? 'Pepperbus is not configured: set $BUS_CONF or call PepperBus::configure()'
                    : "there is no Pepperbus configuration \"$this->name\"");
            }
            $this->producer = new Producer(new Config($conf));
        }
        return $this->producer;
    }

    /** Passwords do not show in dumps. */
    public function __debugInfo(): array
    {
        return ['name' => $this->name, 'registered' => $this->router->paths()];
    }

    /** @internal the main configuration, if there is one */
    public static function mainConfiguration(): ?array
    {
        return self::find(self::MAIN);
    }

    private static function find(string $name): ?array
    {
        $global = $GLOBALS['BUS_CONF'] ?? null;
        $conf = self::$configured[$name] ?? ($name === self::MAIN ? $global : $global[$name] ?? null);
        return is_array($conf) ? $conf : null;
    }
}
