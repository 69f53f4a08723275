#!/usr/bin/env bash
# Limits: many clients, large jobs, half frames, bytes before AUTH, attempts at passwords.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
clients=5000
# Each is a descriptor here and one in the broker.
if ! ulimit -n 16384 2>/dev/null; then
  clients=$(($(ulimit -Hn) / 2 - 200))
  ulimit -n "$(ulimit -Hn)"
fi
((clients > 5000)) && clients=5000
# Short where it is looked at alone: whoever is held up elsewhere on his way to AUTH is not to be cut.
limits() { # auth_timeout
  SERVER="max_clients = $((clients + 20))
max_job_size = 8mb
auth_timeout = $1
auth_attempts = 30" conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/nobody.sock
[queue q]
password = pw
[topic q/log]
pool = php
entry = $WORKERS/log.php
INI
}
limits 10m
start_broker b
rss() { awk '/^VmRSS/ { print $2 }' "/proc/${PID[b]}/status"; }

# --- 8 MB ---
head -c $((8 << 20)) /dev/zero | tr '\0' x >"$T/job"
like "$(redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw -x LPUSH q <"$T/job" 2>&1)" '"error":""' "a job of exactly 8 MB"
echo -n x >>"$T/job"
like "$(redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw -x LPUSH q <"$T/job" 2>&1)" \
  '"jobs":null.*"error":"[^"]*(large|size|8)|ERR.*(bulk|large|size)' "one byte more is refused with a reason"
like "$(push b q small)" '"error":""' "the broker goes on"
is "$(redis redis xlen 'pb:{q}:s')" 2 "the refused one is not stored"

# --- frames: everything below over plain sockets ---
cat >"$T/sock.php" <<'PHP'
<?php
/* sock.php MODE: plays one unfriendly client and prints what came of it. */
[, $path, $mode] = $argv;
/* A queue of connections that is full for the moment is no refusal. */
function dial() { global $path; $end = microtime(true) + 60; while (!($s = @stream_socket_client("unix://$path", $e, $t, 60)) && microtime(true) < $end) usleep(1000); stream_set_timeout($s, 60); return $s; }
function rest($s) { $all = ''; while (!feof($s)) { $x = fread($s, 65536); if ($x === false || $x === '') break; $all .= $x; } return $all; }
switch ($mode) {
    case 'announce': /* a length before AUTH that nobody may allocate */
        $s = dial(); fwrite($s, "*2\r\n\$4\r\nPING\r\n\$2000000000\r\n"); echo trim(fgets($s)), feof($s) || fgets($s) === false ? ' closed' : ' open'; break;
    case 'announce-many':
        $s = dial(); fwrite($s, "*2000000000\r\n"); echo trim(fgets($s)), fgets($s) === false ? ' closed' : ' open'; break;
    case 'garbage':
        $s = dial(); fwrite($s, "*1\r\n!bad\r\n"); echo trim(fgets($s)), fgets($s) === false ? ' closed' : ' open'; break;
    case 'many-args': /* 11 arguments before AUTH */
        $s = dial(); fwrite($s, "*11\r\n" . str_repeat("\$1\r\nx\r\n", 11)); echo trim((string) fgets($s)), fgets($s) === false ? ' closed' : ' open'; break;
    case 'half': /* half a frame after AUTH, then the end: nothing is stored */
        $s = dial(); fwrite($s, "AUTH q:pw\r\n"); fgets($s); fwrite($s, "*3\r\n\$5\r\nLPUSH\r\n\$1\r\nq\r\n\$10\r\nhalf"); fclose($s); echo 'done'; break;
    case 'silent': /* never authenticates */
        $t = microtime(true); $s = dial(); $all = rest($s); printf('%.1f %s', microtime(true) - $t, trim($all)); break;
    case 'idle': /* authenticated clients are not cut */
        $s = dial(); fwrite($s, "AUTH q:pw\r\n"); fgets($s); usleep(4000000); fwrite($s, "PING\r\n"); echo trim(fgets($s)); break;
    case 'bytewise':
        $s = dial(); foreach (str_split("AUTH q:pw\r\n*3\r\n\$5\r\nLPUSH\r\n\$1\r\nq\r\n\$3\r\nabc\r\n") as $c) { fwrite($s, $c); fflush($s); }
        echo trim(fgets($s)), ' ', trim(fgets($s)), trim(fgets($s)); break;
    case 'unread': /* asks and asks, and never reads */
        $s = dial(); stream_set_blocking($s, false); fwrite($s, "AUTH q:pw\r\n"); $q = str_repeat("INFO\r\n", 2000); $n = 0; $t = microtime(true);
        while (microtime(true) - $t < 3) { $w = @fwrite($s, $q); if ($w === false) break; $n += $w; if (!$w) usleep(1000); } echo $n; break;
    case 'crowd': /* COUNT clients, each authenticated, all answer PING; then one more than allowed */
        $n = (int) $argv[3]; $all = [];
        for ($i = 0; $i < $n; $i++) { $all[] = $s = dial(); fwrite($s, "AUTH q:pw\r\n"); }
        $good = 0; foreach ($all as $s) { if (trim(fgets($s)) === '+OK') $good++; }
        foreach ($all as $s) { fwrite($s, "LPUSH q x\r\n"); }
        $stored = 0; foreach ($all as $s) { fgets($s); if (strpos(fgets($s), '"error":""')) $stored++; }
        file_put_contents($argv[4], "up\n"); 
        for ($i = 0; $i < 40; $i++) { $all[] = $last = dial(); }
        @fwrite($last, "PING\r\n"); $refusal = trim((string) @fgets($last));
        while (!file_exists($argv[4] . '.end')) usleep(20000);
        echo "$good $stored $refusal"; break;
}
PHP
play() { php "$T/sock.php" "$T/b.bus" "$@"; }
base=$(rss)
like "$(play announce)" '^-(ERR|NOAUTH).* closed$' "2 GB announced before AUTH: an error and the end"
like "$(play announce-many)" '^-(ERR|NOAUTH).* closed$' "two thousand million arguments announced: the same"
like "$(play garbage)" '^-ERR Protocol error.* closed$' "garbage: a protocol error"
like "$(play many-args)" '^-(ERR|NOAUTH)' "eleven arguments before AUTH"
ok "nothing was allocated for an announcement" test $(($(rss) - base)) -lt 20000
before=$(redis redis xlen 'pb:{q}:s')
play half >/dev/null
like "$(play bytewise)" '^\+OK \$[0-9]+\{"jobs":\["' "one byte at a time"
is "$(redis redis xlen 'pb:{q}:s')" $((before + 1)) "half a frame stored nothing"
limits 2s
kill -HUP "${PID[b]}"
ok "auth_timeout = 2s" wait_until 10 contains "$T/b.log" 'configuration reloaded'
read -r seconds words < <(play silent; echo)
like "$seconds" '^([2-9]|[1-4][0-9])\.|^1\.9' "a client that never authenticates is cut after auth_timeout ($seconds s ${words:-})"
limits 10m
kill -HUP "${PID[b]}"
reloaded_twice() { (($(grep -c 'configuration reloaded' "$T/b.log") == 2)); }
ok "auth_timeout = 10m" wait_until 10 reloaded_twice
is "$(play idle)" "+PONG" "an authenticated one may idle"
base=$(rss)
play unread >/dev/null
ok "a client that never reads does not fill the memory ($(($(rss) - base)) kB)" test $(($(rss) - base)) -lt 160000
like "$(push b q still)" '"error":""' "others are served"

# --- attempts at passwords ---
# @case X1: ten wrong ones close a connection
for i in {1..40}; do echo "AUTH q:guess$i"; done >"$T/guessing"
cat >"$T/guess.php" <<'PHP'
<?php
$s = stream_socket_client('tcp://127.0.0.1:' . $argv[1]);
fwrite($s, file_get_contents($argv[2]));
stream_set_timeout($s, 60);
while (($line = fgets($s)) !== false) echo $line;
PHP
php "$T/guess.php" "$(port b)" "$T/guessing" >"$T/guesses" 2>&1 || true
is "$(tr -d '\r' <"$T/guesses" | sort | uniq -c | sed 's/^ *//')" "10 -ERR invalid password" "ten guesses are refused, then the connection ends"
like "$(push b q right)" '"error":""' "who has the password is not locked out"

# --- a crowd ---
(ulimit -n 16384 2>/dev/null || ulimit -n "$(ulimit -Hn)"; play crowd "$clients" "$T/crowd" >"$T/crowd.out" 2>&1) &
PID[crowd]=$!
ok "$clients clients are connected" wait_until 60 test -e "$T/crowd"
open=$(api b GET /api/v1/status | json '$j["clients"]["open"]')
ok "the status counts them" test "$open" -ge "$clients" -a "$open" -le $((clients + 20))
touch "$T/crowd.end"
wait "${PID[crowd]}" || true
unset 'PID[crowd]'
read -r good stored refusal <"$T/crowd.out" || true # PHP ends it without a newline
is "$good $stored" "$clients $clients" "all authenticated, all stored a job"
like "${refusal:-closed}" "max|clients|closed" "one too many is told so"
like "$(push b q later)" '"error":""' "and serves afterwards"
done_testing
