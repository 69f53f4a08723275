#!/usr/bin/env bash
# What a storage can do to us: stop, restart, load, refuse, evict, freeze, be full.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_redis other
start_fpm fpm 4
conf b <<INI
[storage main]
address = unix:$T/redis.sock
command_timeout = 2s
connect_timeout = 500ms
[storage second]
address = 127.0.0.1:$(redis_port other)
db = 3
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 4
[queue q]
password = pw
[topic q/log]
storage = main
pool = php
entry = $WORKERS/log.php
[queue r]
password = pw
[topic r/log]
storage = second
pool = php
entry = $WORKERS/log.php
INI
start_broker b
accepted() { push b "$1" "$2" | grep -q '"error":""'; }
push b q one >/dev/null
eventually 5 "lines handled.q.log" 1 "works"
push b r one >/dev/null
eventually 5 "lines handled.r.log" 1 "the second storage, over TCP and in database 3, too"
is "$(redis other -n 3 dbsize | tr -d '\n' | grep -c '^0')" 0 "whose keys are in database 3"

# Stopped and started again, with jobs waiting.
op b q/log pause >/dev/null
push b q w1 w2 w3 >/dev/null
# appendfsync everysec: a clean stop writes all.
stop redis
like "$(push b q no)" '"jobs":null' "stopped: the producer is told"
like "$(push b q no)" '"error":"storage not available: no connection: .*connecting again"' "what is away, and what is done"
ok "the other storage's queue works on" accepted r two
start_redis redis
eventually 10 "topic_state b q/log" paused "back, and the pause too"
op b q/log resume >/dev/null
eventually 10 "lines handled.q.log" 4 "what waited is handled"

# Killed while jobs run through: what was acknowledged is handled.
(for i in {1..2000}; do echo "LPUSH q k$i"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw >"$T/out" 2>&1 || true) &
producer=$!
until (($(lines handled.q.log) > 50)); do :; done
stop redis TERM
start_redis redis
wait "$producer" || true
grep -oE '\["[0-9]{19,20}"\]|\[\\"[0-9]{19,20}\\"\]' "$T/out" | tr -dc '0-9\n' | sort -u >"$T/acknowledged"
note "$(wc -l <"$T/acknowledged") of 2000 acknowledged through a restart"
missing() { cut -d' ' -f1 "$T/handled.q.log" | sort -u | comm -23 "$T/acknowledged" - | wc -l; }
eventually 20 missing 0 "every acknowledged job is handled"

# LOADING: a server that reads its data back. DEBUG is local by default on a unix socket.
was=$(lines handled.q.log)
redis redis eval 'for i = 1, 200000 do redis.call("SET", "stuff:"..i, i) end' 0 >/dev/null
stop redis
# 200,000 commands of 0.2 ms, until it is told to hurry.
START_REDIS_WAIT=no start_redis redis --key-load-delay 150
loading() { redis redis ping 2>&1 | grep -q LOADING; }
ok "Redis is loading" wait_until 10 loading
like "$(push b q loading)" '"jobs":null' "meanwhile producers are told"
ok "the broker knows that it loads" wait_until 10 contains "$T/b.log" 'LOADING|loading|reads its data'
redis redis config set key-load-delay 0 >/dev/null
ok "and goes on by itself when it has done" wait_until 20 accepted q loaded
until_was() { (($(lines handled.q.log) > was)); }
ok "jobs too" wait_until 10 until_was

# Frozen: the connection stands, nothing answers. A producer gets an error in bounded time.
kill -STOP "${PID[redis]}"
start=$(now_ms)
like "$(timeout 60 redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw LPUSH q frozen)" '"jobs":null.*"error":"[^"]' "frozen: an error"
took=$(($(now_ms) - start))
ok "within command_timeout and a bit ($took ms)" test "$took" -lt 30000
ok "the other queue is not held up" accepted r three
kill -CONT "${PID[redis]}"
ok "thawed: it goes on" wait_until 10 accepted q thawed

# Full: OOM is an error to the producer, and jobs that are there can still be handled.
op b q/log pause >/dev/null
push b q before-oom >/dev/null
redis redis config set maxmemory 1mb >/dev/null
like "$(push b q oom)" '"jobs":null.*"error":".*([Mm]emory|OOM|full)' "out of memory: the producer reads Redis' words"
redis redis config set maxmemory 0 >/dev/null
ok "room again: accepted" wait_until 5 accepted q room
op b q/log resume >/dev/null
ok "and handled" wait_until 10 contains "$T/handled.q.log" before-oom
stop b

storage() { # NAME lines: a broker with that storage
  conf "$1" <<INI
[storage main]
$2
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
[queue q]
password = pw
[topic q/log]
pool = php
entry = $WORKERS/log.php
INI
}
# Refused at start, each with its sentence; the queue's producers get an error.
refused() { # name pattern redis-options...
  local name=$1 pattern=$2
  shift 2
  start_redis "$name" "$@"
  storage "b$name" "address = unix:$T/$name.sock
${STORAGE:-}"
  WAIT=no start_broker "b$name"
  ok "$name: the log says why" wait_until 10 contains "$T/b$name.log" "$pattern"
  like "$(push "b$name" q x)" '"jobs":null' "$name: nothing is accepted"
}
refused evicting 'maxmemory-policy|evict' --maxmemory 100mb --maxmemory-policy allkeys-lru
redis evicting config set maxmemory-policy noeviction >/dev/null
evicting_ok() { push bevicting q x | grep -q '"error":""'; }
ok "mended while it runs: accepted without a restart" wait_until 40 evicting_ok
stop bevicting
refused locked 'password|NOAUTH|WRONGPASS' --requirepass sesame
stop blocked
STORAGE='password = sesame' refused wrong 'password|WRONGPASS|invalid' --requirepass other
unlike "$(<"$T/bwrong.log")" 'sesame' "and the log does not have the password in it"
stop bwrong
# Its bus would be at a port 10000 higher, where connections get theirs from.
refused cluster 'Redis Cluster' --cluster-enabled yes --cluster-port "$(free_port)"
stop bcluster

# One that says that it is older: a real one, behind somebody who changes a digit on the way.
cat >"$T/older.php" <<'PHP'
<?php
[, $listen, $to] = $argv;
$server = stream_socket_server("unix://$listen") ?: exit(1);
$other = []; // of each connection, by its number
$all = [$server];
while (true) {
    $ready = $all;
    $none = null;
    stream_select($ready, $none, $none, null);
    foreach ($ready as $s) {
        if ($s === $server) {
            $a = stream_socket_accept($server);
            $b = stream_socket_client("unix://$to");
            $all[(int) $a] = $other[(int) $b] = $a;
            $all[(int) $b] = $other[(int) $a] = $b;
            continue;
        }
        if (!isset($other[(int) $s])) continue;
        $data = fread($s, 1 << 20);
        $o = $other[(int) $s];
        if ($data === '' || $data === false) {
            foreach ([$s, $o] as $end) {
                unset($all[(int) $end], $other[(int) $end]);
                fclose($end);
            }
            continue;
        }
        fwrite($o, preg_replace('/redis_version:\d/', 'redis_version:6', $data));
    }
}
PHP
php "$T/older.php" "$T/older.sock" "$T/other.sock" >"$T/older.log" 2>&1 &
PID[older]=$!
wait_until 10 test -S "$T/older.sock"
storage bolder "address = unix:$T/older.sock"
WAIT=no start_broker bolder
ok "Redis 6: the log says what is needed" wait_until 10 contains "$T/bolder.log" \
  'its version is 6\..*Redis 7.0 or newer, or Valkey, is needed'
like "$(push bolder q x)" '"jobs":null' "nothing is accepted"
stop bolder
stop older

# Without an append-only file it serves, with a warning.
start_redis forgetful --appendonly no
storage bforgetful "address = unix:$T/forgetful.sock"
start_broker bforgetful
ok "no append-only file: a warning says what that means" contains "$T/bforgetful.log" \
  'warning: storage main: keeps no append-only file: jobs accepted since its last snapshot are lost'
like "$(push bforgetful q x)" '"error":""' "jobs are accepted"
stop bforgetful

# A user of Redis' ACL, the password in a file.
redis other acl setuser bus on '>open sesame' '~*' '&*' '+@all' >"$T/acl.log"
redis other acl setuser default off >>"$T/acl.log"
echo 'open sesame' >"$T/password"
chmod 600 "$T/password"
storage buser "address = unix:$T/other.sock
username = bus
password_file = $T/password"
start_broker buser
like "$(push buser q x)" '"error":""' "username and password_file"
unlike "$(cat "$T/buser.log")$("$PEPPERBUSD" -c "$T/buser.ini" --dump-config)" 'sesame' "which are not shown"
done_testing
