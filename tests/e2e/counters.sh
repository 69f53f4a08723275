#!/usr/bin/env bash
# What /metrics says after a known course of events.
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
[queue n]
password = pw
[topic n/any]
pool = php
entry = $WORKERS/any.php
attempts = 2
backoff = 50ms..60ms
[queue q]
password = pw
[topic q/slow]
pool = php
entry = $WORKERS/slow.php
workers = 4
INI
start_broker b
metric() { # NAME with its labels
  curl -fsS "http://$(admin b)/metrics" | grep -F "pepperbus_$1 " | cut -d' ' -f2
}
N='{queue="n",topic="any"}' S='queue="q",topic="slow"'
eventually 10 "topic_state b n/any" open "open"
is "$(metric "job_exec_seconds_count$N")" 0 "a ping is no run"

push b n one >/dev/null
push b n two three four >/dev/null
resp b LPUSH n x >/dev/null # without a password
eventually 10 "topic b n/any done" 4 "two calls with four jobs"
is "$(metric 'jobs_accepted_total{queue="n"}') $(metric 'queue_add_count{queue="n"}')" "4 4" \
  "jobs are counted, not calls; what was refused is not"
echo 'out of order' >"$T/broken"
push b n five six >/dev/null
eventually 10 "topic b n/any dead" 2 "two more fail twice"
rm "$T/broken"
is "$(metric "jobs_attempts_total$N")" 8 "attempts: four, and two twice"
is "$(metric "jobs_completed_total$N") $(metric "job_success_count$N")" "4 4" "done"
is "$(metric "jobs_failed_total$N") $(metric "job_fail_count$N")" "4 4" "failed attempts"
is "$(metric "jobs_retried_total$N") $(metric "jobs_dead_total$N")" "2 2" "retried, dead"
is "$(metric "job_exec_seconds_count$N")" "$(metric "requests_total$N")" "run times of failed ones count too"

# Run times: no run is shorter than its sleep.
push b q 30 30 30 30 30 400 400 400 >/dev/null
eventually 20 "lines ended" 8 "five jobs of 30 ms, three of 400"
eventually 5 "topic b q/slow done" 8 "all done"
is "$(metric "job_exec_seconds_bucket{$S,le=\"0.025\"}")" 0 "none within 25 ms"
ok "none of the long ones within 250 ms" test "$(metric "job_exec_seconds_bucket{$S,le=\"0.25\"}")" -le 5
is "$(metric "job_exec_seconds_bucket{$S,le=\"+Inf\"}") $(metric "job_exec_seconds_count{$S}")" "8 8" "eight in all"
ok "1350 ms in all at least" test "$(metric "job_consume_milliseconds_sum{$S}")" -ge 1350
ok "half within no less than 50 ms" test "$(metric "job_consume_milliseconds{$S,quantile=\"0.5\"}")" -ge 50
ok "99 % within no less than 500 ms" test "$(metric "job_consume_milliseconds{$S,quantile=\"0.99\"}")" -ge 500
is "$(api b GET /api/v1/topics/q/slow | json 'array_sum(array_column($j["run_times"], "requests"))')" 8 "the API's buckets add up"
eventually 10 "metric 'topic_timeout_length$N'" 2 "dead jobs are a gauge too"

# Every name is in protocol.md, and every name there is shown; those of transports are in their pages.
curl -fsS "http://$(admin b)/metrics" | sed -n 's/^# TYPE pepperbus_\([a-z_]*\) .*/\1/p' |
  grep -vE '^(cgi|http|exec|pull)_' | sort -u >"$T/shown"
sed -n '/^## 9/,$p' "$ROOT/doc/protocol.md" | grep -oE '`(pepperbus)?_[a-z_]+[`{]' | tr -d '`{' |
  sed 's/^pepperbus//; s/^_//' | grep -v '_$' | sort -u >"$T/told"
is "$(comm -23 "$T/shown" "$T/told" | tr '\n' ' ')" "" "figures of /metrics that protocol.md does not have"
is "$(comm -13 "$T/shown" "$T/told" | tr '\n' ' ')" "" "figures of protocol.md that /metrics does not have"
ok "many" test "$(wc -l <"$T/shown")" -gt 40
stop b
done_testing
