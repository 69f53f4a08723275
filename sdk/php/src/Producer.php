<?php

namespace Pepper\Bus;

/**
 * Adds jobs over a list of servers.
 *
 * addJob() may send its command more than once, to the same or the next server, always with
 * the same random token, by which the broker stores the job only once. addJobs() has no such
 * token and is never sent again once it may have arrived.
 */
final class Producer
{
    /** Limits of one LPUSH; addJobs() sends more jobs than that in several commands. */
    private const BULK_JOBS = 500;
    private const BULK_BYTES = 1048576;

    private const OPTIONS = ['delay' => 'DELAY', 'retry' => 'RETRY', 'ttl' => 'TTL', 'maxlen' => 'MAXLEN', 'id_ttl' => 'IDTTL'];
    /** Seconds for which the broker remembers a token of our own: it costs about 200 bytes until then. */
    private const TOKEN_TTL = 120;
    /** Seconds, or jobs: about a hundred years, below what the broker's own arithmetic takes. */
    private const OPTION_MAX = 3153600000;

    /** @var Config */
    private $config;
    /** @var array<int,Session> open ones by server index */
    private $sessions = [];

    public function __construct(Config $config)
    {
        $this->config = $config;
    }

    /**
     * @param mixed               $data
     * @param array<string,mixed> $options see PepperBus::addJob()
     * @return string decimal job id
     * @throws BusException
     */
    public function addJob(string $queue, $data, array $options = []): string
    {
        $token = $options['id'] ?? bin2hex(random_bytes(16));
        $idTtl = array_intersect_key($options, ['id_ttl' => 1]) + (isset($options['id']) ? [] : ['id_ttl' => self::TOKEN_TTL]);
        unset($options['id_ttl']);
        if (!is_scalar($token)) {
            throw new InvalidJobException('option "id" must be a string');
        }
        $token = (string) $token;
        if (!preg_match('/^[A-Za-z0-9_.:-]{1,64}$/D', $token)) {
            throw new InvalidJobException('option "id" must be 1 to 64 letters, digits, "_", ".", ":" or "-"');
        }
        $tail = array_merge($this->tail($options), ['ID', $token], $this->tail($idTtl));
        $this->config->password($queue); // whether there is one
        $job = Payload::encode($data);

        $again = new Retry($this->config);
        $doubt = null;
        for (;;) {
            try {
                return $this->addOnce($queue, $job, $tail, $token);
            } catch (ConnectionException | StorageException | DoubtException $e) {
                $doubt = $e instanceof ConnectionException ? $doubt : $e;
                if (!$again->pause()) {
                    break;
                }
            } catch (BusException $e) {
                break;
            }
        }
        if ($doubt !== null && $doubt !== $e) {
            // The last one refused, but an earlier one may have stored the job.
            throw new UnknownOutcomeException("{$doubt->getMessage()}; then {$e->getMessage()}", $token, $e);
        }
        throw $e;
    }

    /**
     * One round over the servers.
     *
     * @param string[] $tail
     * @throws BusException
     */
    private function addOnce(string $queue, string $job, array $tail, string $token): string
    {
        $todo = Health::order($this->config->servers());
        $onceMore = true;
        $doubt = $last = null;
        while ($todo) {
            $index = key($todo);
            $server = $todo[$index];
            unset($todo[$index]);
            try {
                $wait = (string) (int) ceil($server->readTimeout * 1000);
                $id = $this->send($index, $server, $queue, array_merge(['ADDJOB', $queue, $job, $wait], $tail), $token);
                Health::answered($this->config->servers(), $index);
                return $id;
            } catch (DoubtException $e) {
                $doubt = $last = $e;
                if (!$todo && $onceMore) {
                    $onceMore = false;
                    $todo = [$index => $server];
                }
            } catch (ConnectionException $e) {
                $last = $e;
            } catch (BusException $e) {
                $last = $e;
                break;
            }
        }
        if ($doubt !== null && $doubt !== $last) {
            // The last server refused, but an earlier one may have stored the job.
            throw new UnknownOutcomeException("{$doubt->getMessage()}; then {$last->getMessage()}", $token, $last);
        }
        throw $last;
    }

    /**
     * @param array<mixed> $jobs
     * @return string[] decimal job ids in the order of the jobs
     * @throws BusException getAcceptedIds() tells what had been added before
     */
    public function addJobs(string $queue, array $jobs): array
    {
        $ids = [];
        foreach ($this->bulks(array_map([Payload::class, 'encode'], array_values($jobs))) as $bulk) {
            try {
                $text = $this->push($queue, $bulk);
                array_push($ids, ...$this->pushedIds($text, $queue, count($bulk)));
            } catch (BusException $e) {
                if ($e instanceof AuthException) {
                    array_map([$this, 'drop'], array_keys($this->sessions)); // their AUTH is no longer good
                }
                throw $e->withAcceptedIds($ids);
            }
        }
        return $ids;
    }

    /**
     * One LPUSH on the first server that can be reached.
     *
     * @param string[] $jobs
     * @return string the broker's JSON reply as it is, an error in it included
     * @throws ConnectionException|AuthException|UnknownOutcomeException
     */
    public function push(string $queue, array $jobs): string
    {
        $again = new Retry($this->config);
        for (;;) {
            try {
                return $this->pushOnce($queue, $jobs);
            } catch (ConnectionException $e) {
                if (!$again->pause()) { // nothing was sent
                    throw $e;
                }
            }
        }
    }

    /**
     * @param string[] $jobs
     * @throws ConnectionException|AuthException|UnknownOutcomeException
     */
    private function pushOnce(string $queue, array $jobs): string
    {
        $last = null;
        foreach (Health::order($this->config->servers()) as $index => $server) {
            try {
                $session = $this->session($index, $server);
                if ($session->used && !$session->ping()) {
                    $this->drop($index);
                    $session = $this->session($index, $server);
                }
                $session->auth($queue, $this->config->password($queue));
            } catch (ConnectionException $e) {
                $this->drop($index);
                $last = $e;
                continue;
            }
            try {
                $reply = $session->call(array_merge(['LPUSH', $queue], $jobs));
            } catch (ConnectionException $e) {
                $this->drop($index);
                throw new UnknownOutcomeException("{$e->getMessage()}, after LPUSH was sent; it is not repeated");
            } catch (ReplyError $e) {
                $this->drop($index);
                throw Errors::typed($e->getMessage(), $queue, $server);
            }
            if (!is_string($reply)) {
                $this->drop($index);
                throw new UnknownOutcomeException("Pepperbus $server: LPUSH was answered by something else than JSON");
            }
            Health::answered($this->config->servers(), $index);
            return $reply;
        }
        throw $last;
    }

    /**
     * One ADDJOB on one server; a kept connection that turns out to be dead is replaced once.
     *
     * @param string[] $args
     * @throws BusException ConnectionException: nothing was sent
     */
    private function send(int $index, Server $server, string $queue, array $args, string $token): string
    {
        for (;;) {
            $sent = false;
            $used = false;
            $start = microtime(true);
            try {
                $session = $this->session($index, $server);
                $used = $session->used;
                $session->auth($queue, $this->config->password($queue));
                $sent = true;
                $reply = $session->addJob($args);
                $id = JobId::fromDisque($reply);
                if ($id !== null) {
                    return $id;
                }
                $this->drop($index);
                throw new UnknownOutcomeException("Pepperbus $server: ADDJOB was answered by something else than a job id", $token);
            } catch (ConnectionException $e) {
                $this->drop($index);
                if ($used && microtime(true) - $start < $server->readTimeout / 2) {
                    continue;
                }
                if ($sent) {
                    throw new UnknownOutcomeException("{$e->getMessage()}, after ADDJOB was sent", $token);
                }
                throw $e;
            } catch (ReplyError $e) {
                $this->drop($index);
                $typed = Errors::typed($e->getMessage(), $queue, $server);
                if ($typed instanceof AuthException && $used) {
                    continue; // the password was changed while the connection was kept
                }
                throw $typed instanceof StorageException
                    ? new StorageException($typed->getMessage(), $token)
                    : $typed;
            }
        }
    }

    /** @throws ConnectionException */
    private function session(int $index, Server $server): Session
    {
        if (isset($this->sessions[$index]) && !$this->sessions[$index]->isMine()) {
            unset($this->sessions[$index]);
        }
        return $this->sessions[$index]
            ?? $this->sessions[$index] = new Session($server, $this->config->connection($server));
    }

    private function drop(int $index): void
    {
        if (isset($this->sessions[$index])) {
            $this->sessions[$index]->close();
            unset($this->sessions[$index]);
        }
    }

    /**
     * @param array<string,mixed> $options
     * @return string[] what follows the timeout in ADDJOB
     * @throws InvalidJobException
     */
    private function tail(array $options): array
    {
        unset($options['id']);
        $tail = [];
        foreach ($options as $name => $value) {
            if (!isset(self::OPTIONS[$name])) {
                throw new InvalidJobException("unknown option \"$name\"; there are: id, " . implode(', ', array_keys(self::OPTIONS)));
            }
            if ($value === null) {
                continue;
            }
            if (!is_numeric($value) || !((float) $value >= 0 && (float) $value <= self::OPTION_MAX)) {
                throw new InvalidJobException("option \"$name\" must be a number from 0 to " . self::OPTION_MAX
                    . ', and is ' . (is_scalar($value) ? var_export($value, true) : gettype($value)));
            }
            array_push($tail, self::OPTIONS[$name], (string) (int) ceil((float) $value));
        }
        return $tail;
    }

    /**
     * @param string[] $jobs
     * @return string[][]
     */
    private function bulks(array $jobs): array
    {
        $bulks = [];
        $bulk = [];
        $bytes = 0;
        foreach ($jobs as $job) {
            if ($bulk && (count($bulk) === self::BULK_JOBS || $bytes + strlen($job) > self::BULK_BYTES)) {
                $bulks[] = $bulk;
                $bulk = [];
                $bytes = 0;
            }
            $bulk[] = $job;
            $bytes += strlen($job);
        }
        if ($bulk) {
            $bulks[] = $bulk;
        }
        return $bulks;
    }

    /**
     * @return string[]
     * @throws BusException
     */
    private function pushedIds(string $text, string $queue, int $count): array
    {
        $reply = json_decode($text, true);
        $error = is_array($reply) ? ($reply['error'] ?? '') : null;
        if (is_string($error) && $error !== '') {
            throw Errors::typed($error, $queue);
        }
        if ($error !== '' || !is_array($reply['jobs'] ?? null) || count($reply['jobs']) !== $count) {
            throw new UnknownOutcomeException('Pepperbus: LPUSH was answered without the ids of all jobs');
        }
        return array_map('strval', $reply['jobs']);
    }
}
