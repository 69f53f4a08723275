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

# `retain`: what all topics have had is kept for a while, for a topic that comes later. What one of
# them has not had is kept for as long as that takes.
kept() { # more topics
  cat <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 4
[queue k]
password = pw
retain = 1h
[topic k/any]
pool = php
entry = $WORKERS/any.php
[queue m]
password = pw
retain = 1s
[topic m/any]
pool = php
entry = $WORKERS/any.php
[queue n]
password = pw
retain = 1s
[topic n/any]
pool = php
entry = $WORKERS/any.php
$1
INI
}
kept '' | conf b
kill -HUP "${PID[b]}"
for queue in k m n; do eventually 10 "topic_state b $queue/any" open "$queue/any open"; done
length() { redis redis xlen "pb:{$1}:s"; }
op b n/any pause >/dev/null
push b k k1 k2 k3 >/dev/null
push b n n1 n2 >/dev/null
eventually 10 "topic b k/any done" 3 "done"
is "$(length k)" 3 "and kept"
kept "[topic k/now]
pool = php
entry = $WORKERS/any.php
[topic k/all]
pool = php
entry = $WORKERS/any.php
start_from = beginning" | conf b
kill -HUP "${PID[b]}"
eventually 10 "topic b k/all done" 3 "a topic with start_from = beginning gets them"
eventually 10 "topic_state b k/now" open "one without"
push b k k4 >/dev/null
eventually 10 "topic b k/now done" 1 "gets the next one only"
for round in 1 2; do # a sweep looks at one queue: after two of m there was one of n
  push b m m >/dev/null
  eventually 10 "topic b m/any done" "$round" "a job of m is done"
  eventually 30 "length m" 0 "and gone when its second is over"
done
is "$(length n) $(topic b n/any ready)" "2 2" "what its topic has not had stays"
op b n/any resume >/dev/null
eventually 10 "topic b n/any done" 2 "until it has"
eventually 30 "length n" 0 "then it goes too"
is "$(length k)" 4 "and what is to be kept for an hour is there"
done_testing
