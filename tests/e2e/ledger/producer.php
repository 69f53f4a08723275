<?php
/* Adds jobs to queue "ledger" until the file $T/enough is there, over the unix socket PATH. A reply that says
 * success is noted in $T/acknowledged.NAME: "id content ms", a line a job. Whatever is not
 * acknowledged is given up: after an error or a lost connection comes a new job, never the same
 * again.
 *
 *   producer.php NAME client PAUSE_US PATH   with ext-redis, one command at a time, 1 to 5 jobs each
 *   producer.php NAME pipe PAUSE_US PATH     by hand, 16 commands before the first reply is read */

[, $name, $mode, $pause, $path] = $argv;
$t = getenv('T');
$acknowledged = fopen("$t/acknowledged.$name", 'a');
$troubles = fopen("$t/troubles.$name", 'a');
$seq = 0;

function ms(): int
{
    return (int) (microtime(true) * 1000);
}

function enough(): bool
{
    clearstatcache();
    return is_file(getenv('T') . '/enough');
}

function trouble(string $what): void
{
    global $troubles;
    fwrite($troubles, ms() . ' ' . str_replace(["\r", "\n"], ' ', $what) . "\n");
    usleep(20000);
}

/* Contents that nobody else has; one of 40 fails at its first attempt ("!"); of various sizes. */
function fresh(int $n): array
{
    global $seq, $name;
    $jobs = [];
    while ($n-- > 0) {
        $seq++;
        $jobs[] = $name . '-' . $seq . ($seq % 40 ? '' : '!') . '/' . str_repeat('x', mt_rand(0, 9) ? mt_rand(0, 60) : mt_rand(0, 5000));
    }
    return $jobs;
}

function keep($reply, array $jobs): void
{
    global $acknowledged;
    $said = is_string($reply) ? json_decode($reply, true) : null;
    if (!is_array($said) || ($said['error'] ?? 'no error field') !== '' || count($said['jobs'] ?? []) !== count($jobs)) {
        trouble('reply ' . (is_string($reply) ? $reply : var_export($reply, true)));
        return;
    }
    $lines = '';
    foreach ($said['jobs'] as $i => $id) {
        $lines .= $id . ' ' . strstr($jobs[$i], '/', true) . ' ' . ms() . "\n";
    }
    fwrite($acknowledged, $lines);
}

function run_client(int $pause): void
{
    global $path;
    while (!enough()) {
        try {
            $r = new Redis();
            $r->connect($path, 0, 3, '', 0, 20);
            $r->auth('ledger:pw');
            while (!enough()) {
                $jobs = fresh(mt_rand(1, 5));
                keep($r->rawCommand('LPUSH', 'ledger', ...$jobs), $jobs);
                usleep($pause);
            }
        } catch (RedisException $e) {
            trouble('lost: ' . $e->getMessage());
        }
    }
}

function line($socket): string
{
    $line = fgets($socket);
    if ($line === false || substr($line, -2) !== "\r\n") {
        throw new RuntimeException('lost in a reply');
    }
    return substr($line, 0, -2);
}

function bulk($socket): string
{
    $head = line($socket);
    if ($head[0] !== '$') {
        return $head;
    }
    $left = (int) substr($head, 1) + 2;
    $text = '';
    while ($left > 0) {
        $more = fread($socket, $left);
        if ($more === false || $more === '') {
            throw new RuntimeException('lost in a reply');
        }
        $text .= $more;
        $left -= strlen($more);
    }
    return substr($text, 0, -2);
}

function command(string ...$words): string
{
    $out = '*' . count($words) . "\r\n";
    foreach ($words as $word) {
        $out .= '$' . strlen($word) . "\r\n$word\r\n";
    }
    return $out;
}

function put($socket, string $bytes): void
{
    while ($bytes !== '') {
        $n = @fwrite($socket, $bytes);
        if (!$n) {
            throw new RuntimeException('lost in a command');
        }
        $bytes = substr($bytes, $n);
    }
}

function run_pipe(int $pause): void
{
    global $path;
    while (!enough()) {
        $socket = @stream_socket_client("unix://$path", $no, $why, 3);
        if (!$socket) {
            trouble("cannot connect: $why");
            continue;
        }
        stream_set_timeout($socket, 20);
        try {
            put($socket, command('AUTH', 'ledger:pw'));
            if (($said = line($socket)) !== '+OK') {
                throw new RuntimeException("AUTH: $said");
            }
            while (!enough()) {
                $sent = [];
                $bytes = '';
                for ($i = 0; $i < 16; $i++) {
                    $sent[] = $jobs = fresh(mt_rand(0, 4) ? 1 : 3);
                    $bytes .= command('LPUSH', 'ledger', ...$jobs);
                }
                put($socket, $bytes);
                foreach ($sent as $jobs) {
                    keep(bulk($socket), $jobs);
                }
                usleep(16 * $pause);
            }
        } catch (RuntimeException $e) {
            trouble('lost: ' . $e->getMessage());
        }
        fclose($socket);
    }
}

$mode === 'pipe' ? run_pipe((int) $pause) : run_client((int) $pause);
