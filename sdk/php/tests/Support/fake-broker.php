<?php

/*
 * A RESP server that does what a test's script says, for faults a real broker does not have.
 *
 *     php fake-broker.php <address> <log> <action>...
 *
 * AUTH and PING are answered well. Every other command takes the next action: ok, drop (close
 * without a word), hang (never answer), garbage, short (half a reply, then close), text:<json>,
 * error:<text>; when there are none left: ok. "auth-error:<text>" as the first action answers
 * AUTH. "stale" is ok, and then closes the connection. RPOP's ok is nil. Each command goes to the
 * log as a line of JSON.
 */

[, $address, $log] = $argv;
$actions = array_slice($argv, 3);
$authError = strncmp($actions[0] ?? '', 'auth-error:', 11) === 0 ? substr(array_shift($actions), 11) : null;
$ids = [];

$listener = stream_socket_server($address, $errno, $error);
if ($listener === false) {
    fwrite(STDERR, "$error\n");
    exit(1);
}
$clients = [];
$buffers = [];
$number = 0;
$numbers = [];
echo "listening " . stream_socket_get_name($listener, false) . "\n";

/** Takes one command off the buffer; null when it is not complete. */
function take(string &$buffer): ?array
{
    if (!preg_match('/^\*(\d+)\r\n/', $buffer, $m)) {
        return null;
    }
    $at = strlen($m[0]);
    $args = [];
    for ($i = 0; $i < $m[1]; $i++) {
        if (!preg_match('/\G\$(\d+)\r\n/', $buffer, $n, 0, $at) || strlen($buffer) < $at + strlen($n[0]) + $n[1] + 2) {
            return null;
        }
        $args[] = substr($buffer, $at + strlen($n[0]), (int) $n[1]);
        $at += strlen($n[0]) + $n[1] + 2;
    }
    $buffer = substr($buffer, $at);
    return $args;
}

function bulk(string $text): string
{
    return '$' . strlen($text) . "\r\n$text\r\n";
}

for (;;) {
    $read = array_merge([$listener], $clients);
    $write = $except = null;
    stream_select($read, $write, $except, null);
    foreach ($read as $socket) {
        if ($socket === $listener) {
            $client = stream_socket_accept($listener, 0);
            if ($client !== false) {
                $clients[(int) $client] = $client;
                $buffers[(int) $client] = '';
                $numbers[(int) $client] = ++$number;
            }
            continue;
        }
        $key = (int) $socket;
        $close = false;
        $data = fread($socket, 65536);
        if ($data === '' || $data === false) {
            $close = true;
        } else {
            $buffers[$key] .= $data;
        }
        while (!$close && ($args = take($buffers[$key])) !== null) {
            file_put_contents($log, json_encode([$numbers[$key], array_map('base64_encode', $args)]) . "\n", FILE_APPEND);
            $name = strtoupper($args[0]);
            if ($name === 'AUTH') {
                fwrite($socket, $authError === null ? "+OK\r\n" : "-$authError\r\n");
                continue;
            }
            if ($name === 'PING') {
                fwrite($socket, "+PONG\r\n");
                continue;
            }
            [$action, $text] = explode(':', array_shift($actions) ?? 'ok', 2) + ['', ''];
            if ($name === 'ADDJOB') {
                $token = $args[array_search('ID', $args, true) + 1];
                $ids[$token] = $ids[$token] ?? count($ids) + 1;
                $good = bulk(sprintf('D-8000000000%06x-%s', $ids[$token], str_repeat('a', 21)));
            } elseif ($name === 'RPOP') {
                $good = "\$-1\r\n";
            } else {
                $jobs = array_map('strval', range(1, max(1, count($args) - 2)));
                $good = bulk(json_encode(['jobs' => $jobs, 'inTraceId' => '1-2-3', 'error' => '']));
            }
            switch ($action) {
                case 'ok':
                    fwrite($socket, $good);
                    break;
                case 'stale':
                    fwrite($socket, $good);
                    $close = true;
                    break;
                case 'drop':
                    $close = true;
                    break;
                case 'hang':
                    break;
                case 'short':
                    fwrite($socket, substr($good, 0, 12));
                    $close = true;
                    break;
                case 'garbage':
                    fwrite($socket, "?what is this\r\n");
                    break;
                case 'text':
                    fwrite($socket, bulk($text));
                    break;
                case 'error':
                    fwrite($socket, "-$text\r\n");
                    break;
            }
        }
        if ($close) {
            fclose($socket);
            unset($clients[$key], $buffers[$key], $numbers[$key]);
        }
    }
}
