#!/usr/bin/env bash
# A php-fpm pool that is not ours alone: how many requests it bears, reloads and deploys under load,
# web requests beside a backlog, several addresses, slow topics beside fast ones.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php
php -r 'exit(extension_loaded("curl") ? 0 : 1);' || skip_all "PHP has no curl extension"

start_redis redis
cat >"$T/web.php" <<'PHP'
<?php usleep(2000); echo 'web fine';
PHP

# A member of the first pool that the API tells of: a PHP expression behind it.
pool() { api b GET /api/v1/pools | json "\$j['pools'][0]$1 ?? 'none'"; }
# settles LEAST MOST "name": in most of 20 looks one behind the other; one reading in range may be on its
# way elsewhere. The looks are one program's, which takes nothing from those that are looked at.
cat >"$T/settles.php" <<'PHP'
<?php
[, $url, $token, $least, $most, $seconds] = $argv;
$http = curl_init($url);
curl_setopt_array($http, [CURLOPT_RETURNTRANSFER => true, CURLOPT_HTTPHEADER => ["Authorization: Bearer $token"]]);
$begun = microtime(true);
for ($seen = []; microtime(true) - $begun < $seconds; usleep(50000)) {
    $seen[] = json_decode(curl_exec($http), true)['pools'][0]['limit'] ?? -1;
    $seen = array_slice($seen, -20);
    $inside = count(array_filter($seen, fn($n) => $n >= $least && $n <= $most));
    if ($inside >= 14) break;
}
printf("# after %d ms %s requests at a time\n", (microtime(true) - $begun) * 1000, implode(' ', $seen));
exit($inside >= 14 ? 0 : 1);
PHP
settles() {
  ok "$3" php "$T/settles.php" "http://$(admin b)/api/v1/pools" "$(<"$T/b.state/admin.token")" "$1" "$2" \
    $((5 * SLOW * PATIENCE))
}
# php-fpm answers before it says that it is ready, which would be taken for a reload's word.
start_ready() { # [extra pool lines]
  local n
  n=$(ready_count fpm 2>/dev/null)
  start_fpm fpm 4 "$@"
  wait_until 15 ready_again fpm "${n:-0}"
}
backlog() { # QUEUE N CONTENT: so many jobs, in commands of 500
  local i
  for ((i = 0; i < $2; i += 500)); do
    printf "LPUSH $1 $(printf "$3 %.0s" {1..500})\n"
  done | redis-cli --no-auth-warning -s "$T/b.bus" -a "$1:pw" >/dev/null
}
failed() { topic b "$1" failed; }
left() {
  api b GET "/api/v1/topics/$1" |
    json '$j["counts"]["ready"] + $j["counts"]["running"] + $j["counts"]["retry"]'
}
purge_backlog() { redis redis FLUSHALL >/dev/null; }

# --- auto, with the status page ---

start_ready "pm.status_path = /status
pm.status_listen = $T/status.sock"
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
concurrency = auto
status = unix:$T/status.sock
[queue q]
password = pw
[topic q/slow]
pool = php
entry = $WORKERS/slow.php
workers = 100
attempts = 1
INI
start_broker b
is "$(pool "['max']") $(pool "['concurrency']")" "128 auto" "the bound of auto where none is given"
backlog q 20000 50
settles 3 3 "auto: four children, one is left for others"
eventually 5 "pool \"['workers']['total']\"" 4 "the status page is in the API"
like "$(pool "['health_text']")" 'fpm.sock ok; php-fpm: [0-9] of 4 children active' "and its state in words"
children fpm 8
settles 7 7 "auto: pm.max_children doubled"
children fpm 4
settles 3 3 "auto: pm.max_children halved"
like "$(php "$E2E/web.php" "unix://$T/fpm.sock" "$T/web.php" 100 10)" 'answered 100 failed 0' \
  "web requests beside the backlog are all answered"
is "$(failed q/slow)" 0 "and no attempt has failed"
like "$(ctl b pool ls)" 'php +cgi +ok +[0-9]+ +[1-4] of 128 +4 +[0-9]+ +[0-9]+' "pool ls"
shown=$(ctl b pool show php)
like "$shown" 'at a time for now, 128 at most; concurrency = auto' "pool show: the limit"
like "$shown" 'q/slow +[0-9]+ requests?' "pool show: its topics"
like "$shown" 'start_time_seconds' "pool show: figures"
rc=0
ctl b pool show none 2>/dev/null || rc=$?
is "$rc" 4 "pool show of none"
metrics=$(curl -fsS "http://$(admin b)/metrics")
like "$metrics" 'pepperbus_pool_limit\{pool="php"\} [1-4]' "the limit in /metrics"
like "$metrics" 'pepperbus_cgi_workers\{pool="php"\} 4' "and php-fpm's children"
like "$metrics" 'pepperbus_cgi_reloads_total\{pool="php"\} [12]' "and its reloads"
cp "$T/b.ini" "$T/b.kept"
sed -i '/^reserve = /d; s/^concurrency = auto/&\nreserve = 9/' "$T/b.ini"
kill -HUP "${PID[b]}"
ok "pool show: a reserve that leaves no worker" wait_until 10 eval 'ctl b pool show php | grep -q "9 of 4 workers are to stay free"'
mv "$T/b.kept" "$T/b.ini"
stop b
purge_backlog

# --- auto, with nothing but the kernel's word of the queue ---

sed -i '/^status = /d' "$T/b.ini"
start_broker b
backlog q 20000 50
settles 3 5 "auto without a status page: four children"
children fpm 8
settles 7 9 "auto without a status page: doubled"
children fpm 4
settles 3 5 "auto without a status page: halved"
is "$(failed q/slow)" 0 "no attempt has failed"
stop b
purge_backlog

# --- fixed, at more than there are children: what waits gets its turn ---

sed -i 's/^concurrency = auto/max_connections = 8/' "$T/b.ini"
start_broker b
backlog q 5000 20
eventually 10 "pool \"['busy']\"" 8 "eight requests for four children"
web=$(php "$E2E/web.php" "unix://$T/fpm.sock" "$T/web.php" 50 20)
note "web requests beside eight requests for four children: $web"
like "$web" 'answered 50 failed 0' "web requests get their turn"
is "$(failed q/slow)" 0 "and no request of ours waits for its deadline"
stop b
purge_backlog
stop fpm

# --- a hundred reloads under load ---

reloads() { # ADDRESS COUNT
  conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = $1
max_connections = 4
[queue q]
password = pw
[topic q/slow]
pool = php
entry = $WORKERS/slow.php
attempts = 5
backoff = 100ms..200ms
INI
  rm -f "$T/begun" "$T/ended"
  start_broker b
  eventually 10 "topic_state b q/slow" open "$1: open"
  local i added=0 before
  for ((i = 0; i < $2; i++)); do
    while (($(left q/slow) < 2000)); do
      backlog q 4000 1
      added=$((added + 4000))
    done
    before=$(lines ended)
    reload fpm || { note "reload $i does not end"; break; }
    wait_until 10 more_than "$before" || { note "nothing is done after reload $i"; break; }
  done
  is "$i" "$2" "$1: $2 reloads under load"
  eventually 60 "left q/slow" 0 "$1: everything is handled"
  is "$(failed q/slow)" 0 "$1: no attempt has failed"
  is "$(cut -d' ' -f1 "$T/ended" | sort -u | wc -l)" "$added" "$1: none is lost"
  is "$(lines begun) $(lines ended)" "$added $added" "$1: none ran twice, none was cut off"
  stop b
  purge_backlog
}
more_than() { (($(lines ended) > $1)); }
# The default of php-fpm (0) kills running scripts; see doc/php-fpm.md.
FPM_CONTROL_TIMEOUT=20s start_ready
reloads "unix:$T/fpm.sock" 75
PID[fpm]=$(<"$T/fpm.pid")
stop fpm
port=$(free_port)
FPM_PORT=$port FPM_CONTROL_TIMEOUT=20s start_ready
reloads "127.0.0.1:$port" 25
PID[fpm]=$(<"$T/fpm.pid")
stop fpm

# --- two addresses, one of which goes away and comes back ---

start_fpm one 2
start_fpm two 2
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/one.sock, unix:$T/two.sock
max_connections = 4
[queue q]
password = pw
[topic q/slow]
pool = php
entry = $WORKERS/slow.php
attempts = 1
[topic q/log]
pool = php
entry = $WORKERS/log.php
attempts = 1
INI
start_broker b
eventually 10 "topic_state b q/slow" open "two addresses"
stop two
rm -f "$T/two.sock"
backlog q 5000 2
health() { pool "['health_text']"; }
says() { [[ $(health) =~ $1 ]]; }
ok "one goes away: the pool says so" wait_until 10 says 'one.sock ok, .*two.sock not reached'
is "$(pool "['health']")" degraded "and is degraded"
eventually 5 "pool \"['figures']['unreachable_addresses']\"" 1 "a figure tells of one address"
is "$(topic_state b q/slow)" open "its topics go on with the other"
start_fpm two 2
start=$(now_ms)
ok "it comes back: used again" wait_until 10 says 'one.sock ok, .*two.sock ok'
took=$(($(now_ms) - start))
note "used again after $took ms"
ok "within two seconds, or a few more on a machine that is busy" test "$took" -lt $((8000 * SLOW))
is "$(failed q/slow) $(failed q/log)" "0 0" "and no attempt has failed"

# --- slow jobs beside fast ones ---

eventually 60 "left q/slow" 0 "the slow topic has done its jobs"
backlog q 3000 2000 # slow: two seconds each; log: at once
eventually 60 "left q/log" 0 "fast jobs are done while slow ones fill their half of the pool"
# With all four to themselves it would be one of these for each of those.
ok "which have hardly begun" test "$(left q/slow)" -gt 2000
done_testing
