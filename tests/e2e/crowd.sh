#!/usr/bin/env bash
# Many queues at once, at the start and by one reload; many reloads, and what they leave behind.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_fpm fpm 4

# --- thousands of queues ---

crowd() { # COUNT
  cat <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 4
INI
  local i
  for ((i = 0; i < $1; i++)); do
    printf '[queue q%d]\npassword = pw\n[topic q%d/t]\npool = php\nentry = %s\n' $i $i "$WORKERS/any.php"
  done
}
open_topics() { ctl b --json status | json '$j["topic_states"]["open"]'; }
use() { # content queue...: one job to each of the queues
  local content=$1 q
  shift
  for q; do push b "$q" "$content" | grep -q '"error":""' || return 1; done
}

crowd 1500 | conf b
start=$(now_ms)
start_broker b
eventually 30 open_topics 1500 "1500 queues at the start: their topics open"
note "ready and all pinged after $(($(now_ms) - start)) ms"
ok "the first, the last and one amid them take jobs" use first q0 q750 q1499
eventually 10 "lines handled" 3 "and their workers handle them"

# A producer that goes on meanwhile sees no error.
(for ((i = 0; i < 3000; i++)); do echo "LPUSH q7 $i"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a q7:pw >"$T/out" 2>&1) &
producer=$!
crowd 3000 | conf b
start=$(now_ms)
is "$(api b POST /api/v1/reload | json '$j["reloaded"]')" true "1500 more by one reload"
note "the reload took $(($(now_ms) - start)) ms"
eventually 30 open_topics 3000 "they open"
ok "new ones and old ones take jobs" use second q1 q1500 q2999
eventually 10 "grep -c ' second\$' $T/handled" 3 "and their workers handle them"
crowd 100 | conf b
is "$(api b POST /api/v1/reload | json '$j["reloaded"]')" true "2900 go by one reload"
eventually 10 open_topics 100 "and 100 are left"
like "$(push b q2000 x 2>&1)" 'NOAUTH|not exist|invalid' "those that went take none"
wait "$producer"
is "$(grep -c '"error\\*":\\*""' "$T/out")" 3000 "3000 jobs added meanwhile: each acknowledged"
eventually 30 "lines handled" 3006 "and handled"
stop b
is "$STOP_STATUS" 0 "a clean stop"

# --- hundreds of reloads ---

start_redis other
variant() { # N: another window, pool, storage, set of queues each time
  local storage=redis timeout=2s i
  ((${1} % 4 < 2)) || storage=other
  ((${1} % 2)) || timeout=3s
  cat <<INI
[storage main]
address = unix:$T/$storage.sock
[storage spare$(($1 % 2))]
address = unix:$T/other.sock
db = $(($1 % 3 + 1))
command_timeout = $timeout
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = $((2 + $1 % 3))
[queue q]
password = pw
[topic q/t]
storage = main
pool = php
entry = $WORKERS/any.php
workers = $((1 + $1 % 5))
[topic q/spare]
storage = spare$(($1 % 2))
pool = php
entry = $WORKERS/any.php
INI
  for ((i = 0; i < $1 % 7; i++)); do
    printf '[queue x%d]\npassword = pw\n[topic x%d/t]\nstorage = main\npool = php\nentry = %s\n' $i $i "$WORKERS/any.php"
  done
}
jobs=0
reload_to() { # N: and a job through it, which both topics have before the next one
  variant "$1" | conf b
  api b POST /api/v1/reload | grep -q '"reloaded": *true' || note "reload $1 failed"
  wait_until 10 broker_ready b || note "reload $1: not ready" # its storages are connected
  push b q "v$1" | grep -q '"error":""' || note "reload $1: no job is taken"
  jobs=$((jobs + 1))
  wait_until 10 equals "lines handled" $((2 * jobs)) || note "reload $1: $(lines handled) of $((2 * jobs))"
}
descriptors() { local fds=(/proc/"${PID[b]}"/fd/*); echo ${#fds[@]}; }
resident() { awk '/^VmRSS/ { print $2 }' "/proc/${PID[b]}/status"; }
# Connections that come and go: to the admin port and the bus, and to php-fpm.
passing() {
  {
    awk -v port="$(printf ':%04X$' "$(<"$T/b.admin")")" '$2 ~ port && ($4 == "01" || $4 == "08")' /proc/net/tcp
    awk -v bus="$T/b.bus" -v fpm="$T/fpm.sock" '($8 == bus || $8 == fpm) && $4 != "00010000"' /proc/net/unix
  } | wc -l
}
# To both storages: each that is configured has one for commands and one for wake-ups.
connections() { { redis redis client list; redis other client list; } | grep -c name=pepperbus; }

: >"$T/handled"
variant 0 | conf b
start_broker b
for ((n = 1; n <= 20; n++)); do reload_to "$n"; done
reload_to 0
is "$(lines handled)" 42 "20 reloads, then back to the first configuration: a job each, for two topics"
eventually 10 connections 4 "four connections: two storages are configured"
eventually 10 passing 0 "and none besides"
fds=$(descriptors) rss=$(resident) sizes=()
for ((n = 1; n <= 100; n++)); do
  reload_to "$n"
  ((n % 25)) || sizes+=("$(resident)")
done
reload_to 0
is "$(lines handled)" 244 "100 more reloads and back"
is "$(cut -d' ' -f1 "$T/handled" | sort | uniq -c | awk '$1 != 2' | wc -l)" 0 "each job once for each of two topics"
eventually 10 descriptors "$fds" "as many descriptors as before ($fds)"
is "$(connections)" 4 "and four connections"
note "resident memory: $rss kB, then after 25 reloads each: ${sizes[*]} kB"
# The allocator keeps what one of them took; a leak grows to the end, in each quarter.
leaks() { ((sizes[3] - rss >= 1024 && sizes[3] - sizes[2] >= 200 && sizes[2] - sizes[1] >= 200)); }
if [[ $SANITIZED ]]; then
  skip "the memory does not go on growing" "what is freed is kept in quarantine"
else
  ok "the memory does not go on growing" eval '! leaks'
fi
stop b
is "$STOP_STATUS" 0 "a clean stop"
done_testing
