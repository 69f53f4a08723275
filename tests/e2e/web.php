<?php
/* A web server's part: requests of its own to the same php-fpm, one after the other at a steady pace,
 * each on a new connection.
 *
 *   php web.php SOCKET SCRIPT REQUESTS INTERVAL_MS      SOCKET: unix:///path or tcp://host:port
 *
 * Prints "answered N failed N p50 MS p99 MS max MS".
 */
[, $socket, $script, $requests, $interval] = $argv;

function record(int $type, string $content): string
{
    return pack('CCnnCC', 1, $type, 1, strlen($content), 0, 0) . $content;
}

function ask(string $socket, string $script): bool
{
    $c = @stream_socket_client($socket, $no, $why, 10);
    if (!$c) {
        return false;
    }
    stream_set_timeout($c, 20);
    $params = '';
    foreach (['SCRIPT_FILENAME' => $script, 'SCRIPT_NAME' => '/web.php', 'REQUEST_METHOD' => 'GET', 'QUERY_STRING' => ''] as $k => $v) {
        $params .= chr(strlen($k)) . chr(strlen($v)) . $k . $v;
    }
    fwrite($c, record(1, pack('nCx5', 1, 0)) . record(4, $params) . record(4, '') . record(5, ''));
    $answer = '';
    while (!feof($c) && ($piece = fread($c, 65536)) !== false && $piece !== '') {
        $answer .= $piece;
    }
    fclose($c);
    return strpos($answer, 'web fine') !== false;
}

$took = [];
$failed = 0;
$begin = hrtime(true);
for ($i = 0; $i < $requests; $i++) {
    $due = $begin + $i * $interval * 1e6;
    if (($wait = $due - hrtime(true)) > 0) {
        usleep((int) ($wait / 1000));
    }
    $start = hrtime(true);
    if (ask($socket, $script)) {
        $took[] = (hrtime(true) - $start) / 1e6;
    } else {
        $failed++;
    }
}
sort($took);
$at = fn(float $share) => $took ? $took[(int) min(count($took) - 1, floor(count($took) * $share))] : 0;
printf("answered %d failed %d p50 %.1f p99 %.1f max %.1f\n", count($took), $failed, $at(0.5), $at(0.99), $at(1));
