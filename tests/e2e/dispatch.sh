#!/usr/bin/env bash
# From the store to a PHP file and back: the request, the outcomes, chunks, windows, order.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_fpm fpm 8
cat > "$T/topics" <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 6
[queue q]
password = pw
[topic q/log]
pool = php
entry = $WORKERS/log.php
INI
conf b <"$T/topics"
start_broker b

for i in {1..100}; do echo "LPUSH q job$i"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw >"$T/out"
eventually 10 "lines handled.q.log" 100 "100 jobs are handled"
is "$(cut -d' ' -f1 "$T/handled.q.log" | sort -u | wc -l)" 100 "each once"
is "$(grep -oE '[0-9]{19,20}\\?"\]' "$T/out" | tr -dc '0-9\n' | sort)" "$(cut -d' ' -f1 "$T/handled.q.log" | sort)" \
  "the ids that the producer was told"
eventually 5 "topic b q/log done" 100 "the topic counts 100 done"
eventually 5 "topic b q/log running" 0 "nothing runs any more"

# The request, as the predecessor's SDKs know it.
conf b <<INI
$(cat "$T/topics")
[topic q/dump]
pool = php
entry = $WORKERS/dump.php
INI
kill -HUP "${PID[b]}"
eventually 10 "topic_state b q/dump" open "a topic added by HUP opens"
push b q 'ä "quoted" \ & = + %41' >/dev/null
ok "its worker is called" wait_until 10 contains "$T/requests" '"data"'
r() { grep '"type":"'"$1"'"' "$T/requests" | head -1 | json "$2"; }
# shellcheck disable=SC2016
{
  is "$(r ping '$j["post"]["IS_PEPPER_BUS_REQUEST"]')" true "a ping says IS_PEPPER_BUS_REQUEST"
  is "$(r ping 'isset($j["post"]["jobs"])')" false "a ping carries no jobs"
  is "$(r data 'implode(",", array_keys($j["post"]))')" "IS_PEPPER_BUS_REQUEST,type,outTraceId,queue,topic,jobs" "the form's fields"
  is "$(r data '$j["server"]["REQUEST_METHOD"] . " " . $j["server"]["CONTENT_TYPE"]')" \
    "POST application/x-www-form-urlencoded" "POST, url-encoded"
  is "$(r data '$j["server"]["SCRIPT_FILENAME"]')" "$WORKERS/dump.php" "SCRIPT_FILENAME"
  is "$(r data 'implode(" ", array_map(fn($n) => $j["server"][$n], ["SCRIPT_NAME", "GATEWAY_INTERFACE", "SERVER_PROTOCOL"]))')" \
    "/dump.php CGI/1.1 HTTP/1.1" "SCRIPT_NAME, GATEWAY_INTERFACE, SERVER_PROTOCOL"
  like "$(r data '$j["server"]["SERVER_SOFTWARE"]')" '^pepperbus/' "SERVER_SOFTWARE"
  is "$(r data '$j["server"]["CONTENT_LENGTH"] == $j["length"] && $j["length"] > 0')" true "CONTENT_LENGTH"
  is "$(r data '$j["server"]["HTTP_X_PEPPERBUS_TRACE"] === $j["post"]["outTraceId"]')" true "the trace as a header too"
  like "$(r data '$j["server"]["HTTP_TRACEPARENT"]')" '^00-[0-9a-f]{32}-[0-9a-f]{16}-01$' "and as traceparent"
  is "$(r data '$j["post"]["queue"] . "/" . $j["post"]["topic"]')" q/dump "queue and topic"
  is "$(r data 'implode(",", array_keys(json_decode($j["post"]["jobs"], true)[0]))')" \
    "id,inTraceId,content,retrying,RetryTimes,RetryTime,IsRetry,BeginRetry,RetryResidueTime" "members of a job, in order"
  is "$(r data 'json_decode($j["post"]["jobs"], true)[0]["content"]')" 'ä "quoted" \ & = + %41' "the content, byte for byte"
  is "$(r data 'json_decode($j["post"]["jobs"], true)[0]["RetryTimes"]')" 1 "the first attempt is number 1"
}
printf 'bin\xff\0end' >"$T/bytes"
redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw -x LPUSH q <"$T/bytes" >/dev/null
eventually 10 "grep -c base64 $T/requests" 1 "content that is not UTF-8 goes as base64"
# shellcheck disable=SC2016
is "$(grep base64 "$T/requests" | json 'bin2hex(base64_decode(json_decode($j["post"]["jobs"], true)[0]["content"]))')" \
  "$(od -An -tx1 "$T/bytes" | tr -d ' \n')" "and decodes to the same bytes"

# Each job of a chunk has its own outcome.
conf b <<INI
$(cat "$T/topics")
[topic q/chunk]
pool = php
entry = $WORKERS/chunk.php
chunk = 8
workers = 1
attempts = 1
[topic q/noise]
pool = php
entry = $WORKERS/noise.php
[topic q/slow]
pool = php
entry = $WORKERS/slow.php
workers = 3
enabled = no
INI
kill -HUP "${PID[b]}"
eventually 10 "topic_state b q/noise" open "a ping passes with the topic in a polluted body"
eventually 10 "topic_state b q/chunk" open "the chunk topic opens"
push b q good bad silent good2 good3 >/dev/null
eventually 10 "topic b q/chunk dead" 2 "207: the one that failed and the one not named are dead"
eventually 10 "topic b q/chunk done" 3 "the others are done, in spite of PHP's notice before the list"
ok "several went in one request" test "$(sort -n "$T/chunks" | tail -1)" -ge 2
like "$(op b q/chunk errors)" "about bad" "the failed one's own message is kept"

# The window: never more at a time than `workers`.
conf b <<INI
$(cat "$T/topics")
[topic q/slow]
pool = php
entry = $WORKERS/slow.php
workers = 3
INI
kill -HUP "${PID[b]}"
eventually 10 "topic_state b q/slow" open "enabled by HUP"
# @case L1: what came while it was disabled
eventually 10 "topic b q/slow done" 5 "with the jobs that were added before"
push b q 60 60 60 60 60 60 60 60 60 >/dev/null
eventually 15 "lines ended" 14 "nine slow jobs are done"
eventually 5 "topic b q/slow done" 14 "all counted"
touch "$T/hold"
push b q held held held >/dev/null
eventually 10 "lines begun" 17 "three more run side by side"
is "$(lines ended)" 14 "none of which has ended"
rm "$T/hold"
eventually 10 "lines ended" 17 "and end"

# An idle system picks a job up at once, not at the next poll.
push b q 0 >/dev/null
eventually 5 "lines ended" 18 "warm"
quick=0 all=
for _ in {1..24}; do
  n=$(lines handled.q.log)
  push b q 0 >/dev/null
  start=$(now_ms)
  until (($(lines handled.q.log) > n)); do (($(now_ms) - start < 20000)) || break; done
  took=$(($(now_ms) - start)) all+=" $took"
  ((took >= 800 * SLOW)) || quick=$((quick + 1))
done
note "from the answer to the worker's note, in ms:$all"
ok "no polling delay when idle: most of 24 at once" test "$quick" -ge 16

stop b
is "$STOP_STATUS" 0 "a clean stop ends with 0"
done_testing
