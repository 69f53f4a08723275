#!/usr/bin/env bash
# The loss ledger. Producers note every job that was acknowledged, workers every job they handled,
# while the broker is killed again and again, Redis and php-fpm are stopped, frozen, killed and
# reloaded. At the end: acknowledged minus handled is 0, for each topic of the queue, and whatever
# was handled twice was handled around the death of a broker or of a worker. Nothing else excuses it:
# not a Redis that stopped, not a reload, not a clean stop.
#
#   LEDGER_KILLS    how often the broker gets SIGKILL (25)
#   LEDGER_SECONDS  how long jobs are added, about (60)
#   LEDGER_NODES    brokers on that one Redis (1; or 2, of which one may be away past its lease)
#   LEDGER_LIST     1: every job that was handled twice, by name
#   LEDGER_SEED     of the faults' order and times; printed
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php curl
php -r 'exit(extension_loaded("redis") ? 0 : 1);' || skip_all "PHP has no redis extension"
kills=${LEDGER_KILLS:-25}
seconds=${LEDGER_SECONDS:-60}
seed=${LEDGER_SEED:-$((RANDOM + 1))}
nodes=(a b)
nodes=("${nodes[@]:0:${LEDGER_NODES:-1}}")
# How long an outcome may be on its way while two cores do all of this, fsync included; what
# stalls.php notes comes on top.
slack=$((250 * SLOW))
export T

# fsync always: what Redis said is on the disk, so a stopped or killed Redis loses nothing.
redis_on() { # reading a minute of all this back may take long where others want the machine too
  START_REDIS_WAIT=no start_redis redis --appendfsync always --aof-load-truncated yes
  wait_until 60 redis_up redis || { note "Redis does not start"; exit 1; }
}
redis_on
FPM_CONTROL_TIMEOUT=5s
start_fpm fpm 8 'pm.max_requests = 5000'
for node in "${nodes[@]}"; do
  conf "$node" <<INI
drain_timeout = 10s
[storage main]
address = unix:$T/redis.sock
lease = 6s
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = $((8 / ${#nodes[@]}))
connect_timeout = 500ms
[queue ledger]
password = pw
[topic ledger/one]
pool = php
entry = $E2E/ledger/worker.php
workers = 8
timeout = 20s
attempts = 30
backoff = 200ms..1s
[topic ledger/two]
pool = php
entry = $E2E/ledger/worker.php
workers = 4
chunk = 16
timeout = 20s
attempts = 30
backoff = 200ms..1s
INI
  start_broker "$node"
done

# --- producers ---

produce() { exec php "$E2E/ledger/producer.php" "$@" >>"$T/producer.$1.log" 2>&1; }
for p in p1:client:8000 p2:client:8000 p3:client:15000 p4:pipe:6000; do
  IFS=: read -r name mode pause <<<"$p"
  produce "$name" "$mode" "$pause" "$T/${nodes[${#PID[@]} % ${#nodes[@]}]}.bus" &
  PID[$name]=$!
done

php "$E2E/ledger/stalls.php" >"$T/stalls.log" 2>&1 &
PID[stalls]=$!

# --- faults ---

RANDOM=$seed
# from until kind. Only a death explains that a job is handled again; what goes under "also" is there
# to be read when something is not explained.
event() { echo "$1 $2 $3" >>"$T/events"; }
nap() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }
node=a # the one that it happens to
died=0
killed=0
unclean= # statuses of clean stops that were not 0
outage= # since when Redis is away: outcomes of that time die with the broker
# A broker that is not there any more before it is killed has crashed.
kill_broker() {
  local state from
  from=${outage:-$(now_ms)}
  state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/${PID[$node]}/status" 2>/dev/null) || true
  [[ $state == [RSD] ]] || died=$((died + 1))
  stop "$node" KILL
  event "$from" "$(now_ms)" broker-killed
  killed=$((killed + 1))
}
ready_again() {
  local node
  for node in "${nodes[@]}"; do wait_until 20 broker_ready "$node" || return; done
}
# on_its_way: what the topics' consumers hold, sorted
on_its_way() {
  local topic
  for topic in one two; do
    redis redis XPENDING 'pb:{ledger}:s' "$topic" - + 10000 | grep -E '^[0-9]+-[0-9]+$' | sed "s/^/$topic /" || true
    redis redis HKEYS "pb:{ledger}:c:$topic" | grep . | sed "s/^/$topic /" || true
  done | sort
}
# Outcomes wait while Redis is away, however long ago their jobs were handled: the next kill comes when
# what was on its way by the time it came back has arrived.
stuck=0
caught_up() { [[ ! $(on_its_way | comm -12 "$T/on_its_way" -) ]]; }
catch_up() {
  on_its_way >"$T/on_its_way"
  wait_until 20 caught_up || stuck=$((stuck + 1))
}
broker_again() { # sometimes it is killed while it starts
  WAIT=no start_broker "$node"
  if ((RANDOM % 6 == 0)); then
    nap $((RANDOM % 60))
    kill_broker
    WAIT=no start_broker "$node"
  fi
}
fault_broker() {
  kill_broker
  ((RANDOM % 3)) || nap $((RANDOM % 400))
  ((${#nodes[@]} == 1 || RANDOM % 5)) || nap 9000 # its jobs go to the other node
  broker_again
  ready_again || note "the broker is not ready long after a kill"
}
fault_redis() { # signal
  local from
  from=$(now_ms)
  outage=$from
  stop redis "$1"
  nap $((RANDOM % 1500))
  if ((RANDOM % 2)); then # the broker dies while it cannot store what it knows
    kill_broker
    WAIT=no start_broker "$node"
    nap $((RANDOM % 500))
  fi
  redis_on
  ready_again || note "the broker is not ready long after Redis came back"
  catch_up
  outage=
  event "$from" "$(now_ms)" "also:redis-$1"
}
fault_freeze() { # of Redis
  local from
  from=$(now_ms)
  kill -STOP "${PID[redis]}"
  nap 4000
  kill -CONT "${PID[redis]}"
  ready_again || note "the broker is not ready long after Redis thawed"
  catch_up
  event "$from" "$(now_ms)" also:redis-frozen
}
fault_drain() { # a clean stop, which must leave nothing half done
  STOP_STATUS=0
  stop "$node" TERM
  ((STOP_STATUS == 0)) || unclean="$unclean $STOP_STATUS"
  event "$(now_ms)" "$(now_ms)" also:broker-stopped
  nap $((RANDOM % 300))
  start_broker "$node"
}
fault_reload() {
  local from
  from=$(now_ms)
  kill -USR2 "${PID[fpm]}"
  nap 400
  event "$from" "$(now_ms)" also:fpm-reload
}
# children: php-fpm's; it has none for a while when it is reloaded
fpm_children() {
  read -ra children <"/proc/${PID[fpm]}/task/${PID[fpm]}/children" || true # no newline at its end
  ((${#children[@]}))
}
fault_fpm() {
  local from children
  wait_until 10 fpm_children
  from=$(now_ms)
  kill -KILL "${PID[fpm]}"
  kill -KILL "${children[@]}" 2>/dev/null || true
  wait "${PID[fpm]}" 2>/dev/null || true
  event "$from" "$(now_ms)" fpm-killed
  nap $((RANDOM % 800))
  rm -f "$T/fpm.sock"
  start_fpm fpm 8 'pm.max_requests = 5000'
}
fault_child() { # one worker in the middle of its work
  local from children
  wait_until 10 fpm_children
  from=$(now_ms)
  kill -KILL "${children[RANDOM % ${#children[@]}]}" 2>/dev/null || true
  event "$from" "$(now_ms)" child-killed
}

note "seed $seed: $kills kills in about $seconds s"
others=(redis:TERM reload fpm drain redis:KILL child freeze reload redis:TERM child drain fpm
  redis:TERM reload drain)
begun=$(now_ms)
every=$((kills / (${#others[@]} + 1) + 1))
step=0
while ((killed < kills)); do
  # What is left of the time, over what is left of the kills: between half and one and a half.
  left=$((begun + seconds * 1000 - $(now_ms)))
  ((left > 0)) || left=0
  nap $((50 + left / (kills - killed) * (50 + RANDOM % 100) / 100))
  node=${nodes[RANDOM % ${#nodes[@]}]}
  fault_broker
  step=$((step + 1))
  if ((step % every == 0 && ${#others[@]})); then
    nap $((RANDOM % 500))
    IFS=: read -r what signal <<<"${others[0]}"
    others=("${others[@]:1}")
    "fault_$what" ${signal:+"$signal"}
  fi
done
for what in "${others[@]}"; do
  IFS=: read -r what signal <<<"$what"
  nap $((200 + RANDOM % 500))
  "fault_$what" ${signal:+"$signal"}
done
left=$((begun + seconds * 1000 - $(now_ms)))
((left <= 0)) || nap "$left"

# --- the end of it: everything stays up until nothing is left to do ---

touch "$T/enough"
for name in p1 p2 p3 p4; do
  wait "${PID[$name]}" || note "producer $name ended with $?"
  unset "PID[$name]"
done
at_rest() {
  [[ $(redis redis XLEN 'pb:{ledger}:s') == 0 &&
    $(redis redis ZCARD 'pb:{ledger}:r:one') == 0 && $(redis redis ZCARD 'pb:{ledger}:r:two') == 0 ]]
}
from=$(now_ms)
ok "all that was added is settled in the end" wait_until 90 at_rest
note "at rest $(($(now_ms) - from)) ms after the last job"
note "$killed kills; $(cat "$T"/troubles.* | wc -l) times a producer was told of trouble"

ok "the broker never ended by itself" test "$died" -eq 0
ok "and is up" ready_again
is "$stuck" 0 "what waited for Redis was settled when it was back"
ok "what stands still was noted until now" kill -0 "${PID[stalls]}"
stop stalls
STOP_STATUS=0
complaint='AddressSanitizer|runtime error:|LeakSanitizer'
for node in "${nodes[@]}"; do
  stop "$node" TERM
done
is "$unclean$STOP_STATUS" 0 "clean stops end with 0"
unlike "$(grep -haE -A3 "$complaint" "$T"/[ab].log | head -20)" "$complaint" "no sanitizer had anything to say"
for topic in one two; do
  redis redis ZRANGE "pb:{ledger}:x:$topic" 0 -1 | grep -E . >"$T/dead.$topic" || true
  php "$E2E/ledger/judge.php" "$T" "$topic" "$slack" >"$T/verdict.$topic"
  sed '$d' "$T/verdict.$topic"
  read -r acknowledged lost dead mixed twice unexplained < <(tail -n 1 "$T/verdict.$topic")
  ok "$topic: $acknowledged jobs were acknowledged" test "$acknowledged" -gt $((seconds * 10))
  ok "$topic: some failed the first time" test -s "$T/refused.$topic"
  is "$lost" 0 "$topic: acknowledged minus handled"
  is "$dead" 0 "$topic: no job is dead"
  is "$mixed" 0 "$topic: no id twice, no job under another's id"
  is "$unexplained" 0 "$topic: each of the $twice handled more than once is explained by a kill"
  is "$(for k in h b c; do redis redis HLEN "pb:{ledger}:$k:$topic"; done | tr '\n' ' ')" "0 0 0 " \
    "$topic: no record, body or claim is left behind"
  is "$(redis redis XPENDING 'pb:{ledger}:s' "$topic" | head -1)" 0 "$topic: nothing is pending"
  is "$(redis redis ZCARD "pb:{ledger}:x:$topic")" "$dead" "$topic: dead jobs are counted"
done
done_testing
