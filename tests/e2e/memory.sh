#!/usr/bin/env bash
# A backlog of large jobs before fast workers: what the broker holds, and what Redis holds for it, is
# bounded by bytes, however many jobs speed would ask for.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

jobs=200 mb=4
# Their way in is the largest part of this; without an append-only file it is half as long.
start_redis redis --appendonly no
start_fpm fpm 4 'php_admin_value[post_max_size] = 64M'
topics() { # chunk [more lines]
  cat <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 4
[queue q]
password = pw
[topic q/size]
pool = php
entry = $WORKERS/size.php
workers = 4
chunk = $1
${2:-}
INI
}
cat >"$T/large.php" <<'PHP'
<?php /* large.php SOCKET JOBS BYTES: prints how many were stored */
[, $path, $n, $bytes] = $argv;
$s = stream_socket_client("unix://$path", $e, $t, 5);
fwrite($s, "AUTH q:pw\r\n");
fgets($s);
$job = str_repeat('x', $bytes);
for ($stored = 0; $n--;) {
    fwrite($s, "*3\r\n\$5\r\nLPUSH\r\n\$1\r\nq\r\n\$$bytes\r\n$job\r\n");
    fgets($s);
    $stored += strpos(fgets($s), '"error":""') !== false;
}
echo $stored;
PHP
large() { is "$(php "$T/large.php" "$T/b.bus" "$1" $((mb << 20)))" "$1" "$1 jobs of $mb MB are stored"; }
peak_mb() { echo $(($(awk '/^VmHWM/ { print $2 }' "/proc/${PID[b]}/status") / 1024)); }
peak_anew() { echo 5 >"/proc/${PID[b]}/clear_refs"; }
redis_mb() { echo $(($(redis redis info memory | awk -F: -v k="$1" '$1 == k { print $2 + 0 }') >> 20)); }
handled() { grep -c " $((mb << 20))\$" "$T/handled" || true; }
distinct() { grep " $((mb << 20))\$" "$T/handled" | cut -d' ' -f1 | sort -u | wc -l; }
some_handled() { (($(handled) >= $1)); }
# Four jobs run, each as it came and as a request; 16 MB wait. ASan keeps more.
bound=150
[[ -z $SANITIZED ]] || bound=250

topics 1 | conf b
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=32 start_broker b
eventually 10 "topic_state b q/size" open "open"
# Small jobs show the broker how fast the workers are: 128 jobs and more are read ahead.
push b q {1..500} >/dev/null
eventually 20 "lines handled" 500 "small jobs are handled"

op b q/size pause >/dev/null
eventually 5 "topic_state b q/size" paused "paused"
large "$jobs"
before=$(redis_mb used_memory)
peak_anew
op b q/size resume >/dev/null
ok "it goes on" wait_until 20 some_handled 60
note "after 60 of them: $(peak_mb) MB at most; Redis $(redis_mb used_memory_peak) MB, of these $before MB jobs"
ok "the broker had less than $bound MB at any time" test "$(peak_mb)" -lt "$bound"
ok "and Redis less than 100 MB on the way to it" test $(($(redis_mb used_memory_peak) - before)) -lt 100

stop b KILL
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=32 start_broker b
eventually 30 distinct "$jobs" "kill -9 in the middle: all are handled"
ok "few of them twice: $(handled) in all" test "$(handled)" -le $((jobs + 12))
eventually 10 "topic b q/size running" 0 "all are settled"
note "after the restart: $(peak_mb) MB at most"
ok "the new broker had less than $bound MB at any time" test "$(peak_mb)" -lt "$bound"

# Requests of up to 100: two of these fill one. While all workers are busy they come in behind small
# ones, of which every free slot takes a hundred.
topics 100 | conf b
kill -HUP "${PID[b]}"
eventually 10 "api b GET /api/v1/topics/q/size | json '\$j[\"chunk\"]'" 100 "chunk = 100"
eventually 10 "topic_state b q/size" open "and open again"
: >"$T/handled"
push b q {1..1000} >/dev/null
eventually 20 "lines handled" 1000 "small jobs are handled"
touch "$T/hold"
for i in 1 2 3 4; do push b q "$i" >/dev/null; done
eventually 5 "topic b q/size running" 4 "four keep the workers busy"
push b q {1..600} >/dev/null
large 60
peak_anew
rm "$T/hold"
eventually 20 distinct 60 "all are handled"
note "with chunk = 100: $(peak_mb) MB at most"
# Two jobs in each of four requests.
bound=$((bound + 30))
ok "the broker had less than $bound MB at any time" test "$(peak_mb)" -lt "$bound"

rss_mb() { echo $(($(awk '/^VmRSS/ { print $2 }' "/proc/${PID[b]}/status") / 1024)); }
# Some 10 MB it has at least, 16 the allocator keeps (M_TRIM_THRESHOLD), and what lies above may be
# held by one small block; large jobs took 100.
small() { (($(rss_mb) < 50)); }
if [[ $SANITIZED ]]; then
  skip "it is given back" "ASan keeps memory of its own"
else
  ok "when all is done the memory is given back" wait_until 10 small
  note "$(rss_mb) MB are left"
fi

# Longer than anything here waits for an event.
topics 100 "chunk_wait = 10m" | conf b
kill -HUP "${PID[b]}"
eventually 10 "api b GET /api/v1/topics/q/size | json '\$j[\"chunk_wait_ms\"]'" 600000 "chunk_wait = 10m"
large 2
eventually 10 distinct 62 "a request that has its 8 MB leaves at once"
# Small ones that wait before large ones: each request has its hundred, and waits for no more.
op b q/size pause >/dev/null
eventually 5 "topic_state b q/size" paused "paused"
: >"$T/handled"
push b q {1..400} >/dev/null
large 4
op b q/size resume >/dev/null
eventually 20 "lines handled" 404 "requests that can be full do not wait for chunk_wait"
done_testing
