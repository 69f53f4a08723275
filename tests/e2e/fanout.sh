#!/usr/bin/env bash
# Each topic gets every job once, independently of the others; nothing is left in Redis then.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_fpm fpm 4
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 4
[pool down]
run_type = cgi
address = unix:$T/fpm2.sock
max_connections = 2
[queue q]
password = pw
[topic q/a]
pool = php
entry = $WORKERS/log.php
[topic q/b]
pool = php
entry = $WORKERS/fragile.php
attempts = 1
[topic q/c]
pool = down
entry = $WORKERS/log.php
[topic q/d]
pool = php
entry = $WORKERS/log.php
chunk = 16
INI
start_broker b
xlen() { redis redis xlen 'pb:{q}:s'; }

eventually 10 "topic_state b q/a" open "a open"
eventually 10 "topic_state b q/c" unreachable "c has no worker"
echo no >"$T/broken"
for i in {1..200}; do echo "LPUSH q j$i"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw >/dev/null
eventually 10 "lines handled.q.a" 200 "a handled 200 while b fails and c is down"
eventually 10 "lines handled.q.d" 200 "so did d"
eventually 15 "topic b q/b dead" 200 "b's 200 failed and are kept"
is "$(cut -d' ' -f1 "$T/handled.q.a" | sort -u | wc -l)" 200 "each once"
is "$(topic b q/c ready)$(topic b q/c running)" 2000 "c's 200 wait, no attempt spent"
is "$(xlen)" 200 "one stream entry a job, whatever the number of topics"

start_fpm fpm2 2
eventually 5 "lines handled.q.c" 200 "c's worker is back: all are handled"
rm "$T/broken"
op b q/b replay >/dev/null
eventually 10 "lines handled.q.b" 200 "b mended and replayed"
eventually 10 "xlen" 0 "the stream is empty again"
is "$(lines handled.q.a) $(lines handled.q.d)" "200 200" "the others did not notice"
done_testing
