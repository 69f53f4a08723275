<?php
/* predis.php HOST PORT AUTOLOADER: with a password and a database, as it is configured by most. */
[, $host, $port, $autoload] = $argv;
error_reporting(E_ALL & ~E_DEPRECATED); /* Debian's Predis is older than its PHP */
require $autoload;
$r = new Predis\Client(['host' => $host, 'port' => (int) $port, 'password' => 'q:pw', 'database' => 0]);
$said = [];
$said[] = $r->ping() == 'PONG' ? 'ping' : 'no ping';
$reply = json_decode($r->lpush('q/t', ['a', 'b']), true);
$said[] = count($reply['jobs']) === 2 ? 'push' : json_encode($reply);
$replies = $r->pipeline(function ($p) {
    for ($i = 0; $i < 50; $i++) {
        $p->lpush('q', ["job $i"]);
    }
});
$said[] = count($replies) === 50 && json_decode($replies[49], true)['error'] === '' ? 'pipeline' : 'bad pipeline';
try {
    $r->executeRaw(['NOSUCH'], $error);
    $said[] = $error ? 'error' : 'no error';
} catch (Predis\Response\ServerException $e) {
    $said[] = 'error';
}
$said[] = isset($r->info()['Server']) || isset($r->info()['redis_version']) ? 'info' : 'no info';
try {
    (new Predis\Client(['host' => $host, 'port' => (int) $port, 'password' => 'q:no']))->ping();
    $said[] = 'let in';
} catch (Predis\PredisException $e) {
    $said[] = strpos($e->getMessage(), 'invalid password') !== false ? 'refused' : $e->getMessage();
}
echo implode(' ', $said), "\n";
