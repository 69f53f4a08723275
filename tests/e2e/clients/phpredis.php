<?php
/* phpredis.php HOST PORT: the handshake, single and pipelined adds, errors. LPUSH goes by rawCommand:
 * lPush() itself takes nothing but a number for an answer. */
[, $host, $port] = $argv;
$r = new Redis();
$r->connect($host, (int) $port, 2.0);
$said = [];
$said[] = $r->auth('q:pw') === true ? 'auth' : 'no auth';
$said[] = $r->ping() ? 'ping' : 'no ping';
$said[] = $r->select(0) ? 'select' : 'no select';
$reply = json_decode($r->rawCommand('LPUSH', 'q/t', "bin\0\xff"), true);
$said[] = count($reply['jobs']) === 1 && $reply['error'] === '' ? 'push' : json_encode($reply);
$p = $r->multi(Redis::PIPELINE);
for ($i = 0; $i < 50; $i++) {
    $p->rawCommand('LPUSH', 'q', "job $i");
}
$ids = array_map(function ($x) { return json_decode($x, true)['jobs'][0]; }, $p->exec());
$said[] = count(array_unique($ids)) === 50 ? 'pipeline' : 'bad pipeline';
$id = $r->rawCommand('ADDJOB', 'q', 'x', '1000', 'DELAY', '1');
$said[] = preg_match('/^D-[0-9a-f]{16}-.{21}$/', $id) ? 'addjob' : "bad id $id";
$r->rawCommand('NOSUCH');
$said[] = strpos((string) $r->getLastError(), "unknown command 'NOSUCH'") ? 'error' : 'no error';
$said[] = isset($r->info()['redis_version']) ? 'info' : 'no info';
$said[] = $r->client('setname', 'php') && $r->client('getname') === 'php' ? 'name' : 'no name';
echo implode(' ', $said), "\n";
