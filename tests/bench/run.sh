#!/usr/bin/env bash
# How fast and how small the broker is, as ratios to raw Redis and to a bare FastCGI client, both
# measured in the same run. Prints a table and writes bench.json. doc/performance.md says what
# each row means and what was found.
#
#   BENCH_ROWS="intake drain" tests/bench/run.sh     only these rows (names: see ROWS below)
#   BENCH_JSON=FILE      where the JSON goes, default ./bench.json; empty: nowhere
#   BENCH_ROUNDS=7       rounds of the rows that are ratios; in each both sides run, now this one
#                        first, now that one; the median of the rounds' ratios counts
#   BENCH_SCALE=100      percent of jobs and seconds, for a quick look
#   BENCH_STRICT=1       exit status 1 when a target is missed
#   PERF=FILE            perf records the broker meanwhile (with one row in BENCH_ROWS)
#   PEPPERBUSD, PEPPERBUS_PLUGIN_DIR    the broker; BARE_FCGI, LATENCY: the two helpers of this
#                        folder, compiled here when they are not named
# shellcheck disable=SC2317 # the sides of rounds()
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli redis-benchmark php curl
shopt -s lastpipe # `... | begin` sets variables of this shell
BENCH=$ROOT/tests/bench
ROWS="intake pipelined topics drain chunk null latency idle producers memory http exec_resident exec_once exec_replies auto auto_queue"
BENCH_ROWS=${BENCH_ROWS:-$ROWS}
BENCH_JSON=${BENCH_JSON-bench.json}
ROUNDS=${BENCH_ROUNDS:-7}
SCALE=${BENCH_SCALE:-100}
BEGAN=$(date +%s)
PAYLOAD=$(printf 'x%.0s' {1..64})
[[ -x $PEPPERBUSD ]] || skip_all "$PEPPERBUSD is not built"
for row in $BENCH_ROWS; do
  [[ " $ROWS " == *" $row "* ]] || { echo "no row is called $row; rows are: $ROWS" >&2; exit 2; }
done

helper() { # VARIABLE source: the program itself, compiled if it is not named
  local -n program=$1
  [[ ${program:-} ]] && return
  program=$T/${2%.c}
  ${CC:-cc} -std=gnu17 -D_GNU_SOURCE -O2 -o "$program" "$BENCH/$2"
}
helper BARE_FCGI bare_fcgi.c
helper LATENCY latency.c

calc() { awk "BEGIN { printf \"${2:-%.2f}\", $1 }"; }
scaled() { echo $(($1 * SCALE / 100)); }
median() { tr ' ' '\n' | grep . | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
say() { printf '%s\n' "$*" >&2; }
# rounds N A B: calls A and B, which set RATE, N times by turns. A_RATE and B_RATE have their
# medians, RATIO the median of each round's B by A: what slows the machine down for a second meets
# both sides of a round.
rounds() {
  local a=() b=() ratios=() side
  for ((i = 0; i < $1; i++)); do
    for side in $((i % 2)) $((1 - i % 2)); do
      if ((side == 0)); then
        "$2" && a+=("$RATE")
      else
        "$3" && b+=("$RATE")
      fi
    done
    ratios+=("$(calc "${b[-1]} / ${a[-1]}" %.3f)")
  done
  A_RATE=$(median <<<"${a[*]}") B_RATE=$(median <<<"${b[*]}")
  RATIO=$(calc "$(median <<<"${ratios[*]}")")
  say "  $1 rounds, ratios $(tr ' ' '\n' <<<"${ratios[*]}" | sort -g | sed -n '1p;$p' | tr '\n' ' ')"
}

# --- results ---

RESULTS=() JSON=() MISSED=0
# result ROW WHAT VALUE UNIT at-least|at-most TARGET detail [member:number...]
result() {
  local row=$1 what=$2 value=$3 unit=$4 rule=$5 target=$6 detail=$7 met=yes more='' m
  shift 7
  if [[ $rule == at-least ]]; then
    awk "BEGIN { exit !($value < $target) }" && met=no
  else
    awk "BEGIN { exit !($value > $target) }" && met=no
  fi
  [[ $met == yes ]] || MISSED=$((MISSED + 1))
  RESULTS+=("$(printf '%-44s %12s  %-9s %-9s %-4s %s' "$what" "$value $unit" "${rule/-/ }" "$target" "$met" "$detail")")
  for m; do more+=", \"${m%%:*}\": ${m#*:}"; done
  JSON+=("    {\"row\": \"$row\", \"what\": \"$what\", \"value\": $value, \"unit\": \"$unit\", \"rule\": \"$rule\", \"target\": $target, \"met\": $([[ $met == yes ]] && echo true || echo false)$more}")
  say "  ${RESULTS[-1]}"
}

# --- a Redis, a php-fpm and a broker of their own for each row ---

R=0
# begin TOPICS-INI: all anew; the topics' part of the configuration on standard input
begin() {
  R=$((R + 1))
  start_redis "redis$R" --auto-aof-rewrite-percentage 0
  conf b <<INI
log_level = warning
[storage main]
address = unix:$T/redis$R.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 8
$(cat)
INI
  rm -rf "$T/b.state"
  start_broker b
}
end() {
  [[ ! ${PERF_PID:-} ]] || { kill -INT "$PERF_PID"; wait "$PERF_PID" || true; PERF_PID=; }
  stop b
  stop "redis$R"
  rm -rf "$T/redis$R"
}
profile() {
  [[ ${PERF:-} && ! ${PERF_PID:-} ]] || return 0
  perf record -q -g -o "$PERF" -p "${PID[b]}" >"$T/perf.log" 2>&1 &
  PERF_PID=$!
}
topic_ini() { # QUEUE/TOPIC [lines]
  printf '[topic %s]\npool = php\nentry = %s\nworkers = 8\n%s\n' "$1" "${ENTRY:-$WORKERS/trivial.php}" "${2:-}"
}
queue_ini() { printf '[queue %s]\npassword = pw\n' "$1"; }
opened() { wait_until 20 equals "topic_state b $1" open || { say "topic $1 does not open"; exit 1; }; }
paused() { opened "$1"; op b "$1" pause >/dev/null; }
backlog() { redis "redis$R" xlen "pb:{$1}:s"; }

# Requests per second of redis-benchmark; the last line of its CSV. Arguments: its options.
rate() {
  redis-benchmark --csv "$@" 2>"$T/benchmark.err" | tail -1 | cut -d'"' -f4 | grep '^[0-9.]*$' ||
    { cat "$T/benchmark.err" >&2; exit 1; }
}
raw_rate() { # N PIPELINE
  rate -p "$(redis_port "redis$R")" -c 50 -n "$1" -P "$2" LPUSH raw "$PAYLOAD"
  redis "redis$R" unlink raw >/dev/null
}
bus_rate() { # QUEUE N PIPELINE
  rate -p "$(port b)" -a "$1:pw" -c 50 -n "$2" -P "$3" LPUSH "$1" "$PAYLOAD"
}
# fill QUEUE N: so many jobs wait there, or a few more (redis-benchmark ends whole pipelines); FILLED
# has how many.
fill() {
  bus_rate "$1" "$2" 64 >/dev/null
  FILLED=$(backlog "$1")
  ((FILLED >= $2)) || { say "$FILLED of $2 jobs are in the stream of $1"; exit 1; }
}

# --- rows ---

intake() { # ROW WHAT N PIPELINE TARGET
  local n depth=$4
  n=$(scaled "$3")
  raw_side() { RATE=$(raw_rate "$n" "$depth"); }
  bus_side() { RATE=$(bus_rate q "$n" "$depth"); }
  { queue_ini q; topic_ini q/one; } | begin
  paused q/one
  raw_rate "$((n / 2))" "$4" >/dev/null
  bus_rate q "$((n / 2))" "$4" >/dev/null
  profile
  rounds "$ROUNDS" raw_side bus_side
  end
  result "$1" "$2" "$RATIO" x at-least "$5" "$(calc "$B_RATE" %.0f)/s of $(calc "$A_RATE" %.0f)/s" \
    "jobs_per_s:$B_RATE" "raw_per_s:$A_RATE"
}
row_intake() { intake intake "intake, 50 connections one by one" 75000 1 0.75; }
row_pipelined() { intake pipelined "intake, 16 commands pipelined" 300000 16 0.45; }

row_topics() {
  local n
  n=$(scaled 6000)
  one_side() { RATE=$(bus_rate q "$n" 1); }
  four_side() { RATE=$(bus_rate p "$n" 1); }
  { queue_ini q; topic_ini q/one; queue_ini p; for t in a b c d; do topic_ini p/$t; done; } | begin
  for t in q/one p/a p/b p/c p/d; do paused $t; done
  bus_rate q "$((n / 2))" 1 >/dev/null
  bus_rate p "$((n / 2))" 1 >/dev/null
  profile
  # Where the kernel puts three busy processes on two cores halves a round's rate, or does not,
  # for some rounds in a row: many short ones, in which both sides meet the same.
  rounds $((12 * ROUNDS)) one_side four_side
  end
  result topics "intake, 4 topics, ratio to 1 topic" "$RATIO" x at-least 0.95 \
    "$(calc "$B_RATE" %.0f)/s of $(calc "$A_RATE" %.0f)/s" "jobs_per_s:$B_RATE" "one_topic_per_s:$A_RATE"
}

# Seconds until the stream of q is empty, from the resume on; looked at a hundred times a second over
# one connection.
drain_time() {
  local start left=-1 asked=0
  exec 3<>"/dev/tcp/127.0.0.1/$(redis_port "redis$R")"
  start=$(date +%s%N)
  op b q/one resume >/dev/null
  until ((left == 0)); do
    printf 'XLEN pb:{q}:s\r\n' >&3
    IFS=: read -r -t 10 -u 3 _ left
    left=${left%$'\r'}
    if ((++asked == 12000)); then
      say "not drained: $left jobs are left"
      exit 1
    fi
    read -r -t 0.01 -u 3 || true # sleeps, without a process for it
  done
  calc "($(date +%s%N) - $start) / 1e9" %.3f
  exec 3>&-
}
drain() { # ROW WHAT N CHUNK TARGET
  local n all=0
  n=$(scaled "$3")
  bare_side() {
    RATE=$("$BARE_FCGI" "unix:$T/fpm.sock" "$WORKERS/trivial.php" q one 1 | cut -d' ' -f1)
  }
  bus_side() {
    op b q/one pause >/dev/null
    fill q "$n"
    profile
    RATE=$(calc "$FILLED / $(drain_time)" %.0f)
    all=$((all + FILLED))
  }
  { queue_ini q; topic_ini q/one "chunk = $4"; } | begin
  opened q/one
  bare_side
  rounds "$ROUNDS" bare_side bus_side
  [[ $(topic b q/one "done") == "$all" ]] || say "done says $(topic b q/one "done"), not $all"
  end
  result "$1" "$2" "$RATIO" x at-least "$5" "$B_RATE jobs/s; bare client $A_RATE requests/s" \
    "jobs_per_s:$B_RATE" "bare_per_s:$A_RATE"
}
row_drain() { drain drain "drain, 8 php-fpm children, chunk = 1" 40000 1 0.80; }
row_chunk() { drain chunk "drain, chunk = 32" 200000 32 4; }

# The same without any worker, beside the broker's plugins in a folder of its own.
row_null() {
  local n rates=() all=0 plugins=$T/plugins
  n=$(scaled 400000)
  mkdir -p "$plugins"
  ln -sf "$PEPPERBUS_PLUGIN_DIR"/*.so "$plugins"
  ${CC:-cc} -std=gnu17 -O2 -shared -fPIC -fvisibility=hidden -I"${PLUGIN_INCLUDE:-$ROOT/include}" -Wl,-z,defs \
    -o "$plugins/null.so" "$BENCH/null.c"
  {
    queue_ini q
    printf '[topic q/one]\nrun_type = null\nworkers = 8\n'
  } | PEPPERBUS_PLUGIN_DIR=$plugins begin
  opened q/one
  for ((i = 0; i < ROUNDS; i++)); do
    op b q/one pause >/dev/null
    fill q "$n"
    profile
    rates+=("$(calc "$FILLED / $(drain_time)" %.0f)")
    all=$((all + FILLED))
  done
  [[ $(topic b q/one "done") == "$all" ]] || say "done says $(topic b q/one "done"), not $all"
  end
  result null "drain through a plugin without a worker" "$(median <<<"${rates[*]}")" jobs/s \
    at-least 60000 "chunk = 1"
}

row_latency() {
  local n=600 out reply
  # shellcheck disable=SC2016
  echo '<?php $first = hrtime(true);
header("Code: 200");
if ($_POST["type"] === "ping") {
    header("Consume-Topics: q/one");
    exit;
}
foreach (json_decode($_POST["jobs"], true) as $job) {
    file_put_contents(getenv("T") . "/first", "$first $job[content]\n", FILE_APPEND);
}' >"$T/first.php"
  { queue_ini q; ENTRY=$T/first.php topic_ini q/one; } | begin
  opened q/one
  "$LATENCY" send "$T/b.bus" q pw 20 10 >/dev/null
  wait_until 5 equals "lines first" 20 || say "the first 20 jobs were not handled"
  rm -f "$T/first"
  profile
  reply=$("$LATENCY" send "$T/b.bus" q pw "$n" 8)
  wait_until 5 equals "lines first" "$n" || say "$(lines first) of $n jobs were handled"
  out=$("$LATENCY" read "$T/first" "$n")
  end
  read -r _ p50 p99 longest <<<"$out"
  read -r _ reply50 reply99 _ <<<"$reply"
  result latency "send to first line of PHP, p50" "$(calc "$p50/1000" %.3f)" ms at-most 1 \
    "of $n sends; reply p50 $reply50 us" "reply_p50_us:$reply50"
  result latency "send to first line of PHP, p99" "$(calc "$p99/1000" %.3f)" ms at-most 5 \
    "longest $(calc "$longest/1000" %.1f) ms; reply p99 $reply99 us" "longest_us:$longest" "reply_p99_us:$reply99"
}

rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
run_ns() { cat "/proc/$1/task/"*/schedstat | awk '{ ns += $1 } END { printf "%.0f\n", ns }'; }
commands() { redis "redis$R" info stats | tr -d '\r' | awk -F: '/^total_commands_processed/ { print $2 }'; }
opened_all() { (($(api b GET /api/v1/topics | grep -oE '"state": ?"open"' | wc -l) == $1)); }

row_idle() {
  local seconds c0 c1 n0 n1 rss
  seconds=$(scaled 20)
  for i in {1..1000}; do
    queue_ini "queue$i"
    printf '[topic queue%s/topic]\npool = php\nentry = %s\nworkers = 10\n' "$i" "$WORKERS/trivial.php"
  done | begin
  wait_until 60 opened_all 1000 || { say "not all topics open"; exit 1; }
  sleep 3 # what opening them set off is no part of an idle system
  profile
  c0=$(commands)
  n0=$(run_ns "${PID[b]}")
  sleep "$seconds"
  n1=$(run_ns "${PID[b]}")
  c1=$(commands)
  rss=$(rss_kb "${PID[b]}")
  end
  result idle "1,000 topics x 10 workers idle: CPU" "$(calc "($n1 - $n0) / 1e7 / $seconds" %.3f)" % at-most 0.5 "of a core, over $seconds s"
  result idle "the same: Redis commands" "$(calc "($c1 - $c0 - 1) / $seconds" %.1f)" /s at-most 20 ""
  result idle "the same: RSS" "$(calc "$rss / 1024" %.1f)" MB at-most 32 "of the whole broker; a queue each"
}

row_producers() {
  local before after holder
  { queue_ini q; topic_ini q/one; } | begin
  opened q/one
  before=$(rss_kb "${PID[b]}")
  profile
  mkfifo "$T/end"
  "$LATENCY" hold "$T/b.bus" q pw 1000 <"$T/end" >"$T/held" &
  holder=$!
  exec 9>"$T/end"
  wait_until 20 test -s "$T/held" || { say "1,000 producers did not come"; exit 1; }
  wait_until 20 equals "topic b q/one done" 1000 || say "$(topic b q/one "done") of 1000 jobs are done"
  after=$(rss_kb "${PID[b]}")
  exec 9>&-
  wait "$holder"
  end
  result producers "1,000 idle producers: RSS added" "$(calc "($after - $before) / 1024" %.2f)" MB at-most 4 \
    "each authenticated, one job sent; $before -> $after kB"
}

used_memory() { redis "redis$R" info memory | tr -d '\r' | awk -F: '/^used_memory:/ { print $2 }'; }
unwritten() { redis "redis$R" info persistence | tr -d '\r' | awk -F: '/^aof_buffer_length:/ { print $2 }'; }
row_memory() {
  local n before after usage
  n=$(scaled 1000000)
  { queue_ini q; topic_ini q/one; } | begin
  paused q/one
  before=$(used_memory)
  fill q "$n"
  wait_until 10 equals unwritten 0 || say "Redis has not written all"
  after=$(used_memory)
  usage=$(redis "redis$R" memory usage 'pb:{q}:s' samples 0)
  end
  result memory "a million jobs waiting: Redis memory each" "$(calc "($after - $before) / $FILLED" %.1f)" bytes at-most 100 \
    "used_memory; MEMORY USAGE of the stream: $(calc "$usage / $FILLED" %.1f)" "stream_bytes:$(calc "$usage / $FILLED" %.1f)"
}

# nginx in front of the same php-fpm; wrk sends the same form over as many connections.
row_http() {
  local n port all=0 cpu=0 before us
  n=$(scaled 60000)
  for program in nginx wrk; do
    command -v "$program" >/dev/null || { say "row http needs $program; left out"; return; }
  done
  port=$(free_port)
  start_nginx "$port" <<NGINX
  access_log off;
  server {
    listen 127.0.0.1:$port;
    location = /worker {
      fastcgi_pass unix:$T/fpm.sock;
      fastcgi_param SCRIPT_FILENAME $WORKERS/trivial.php;
      fastcgi_param REQUEST_METHOD \$request_method;
      fastcgi_param CONTENT_TYPE \$content_type;
      fastcgi_param CONTENT_LENGTH \$content_length;
    }
  }
NGINX
  cat >"$T/post.lua" <<LUA
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.headers["IS-PEPPER-BUS-REQUEST"] = "true"
wrk.body = "IS_PEPPER_BUS_REQUEST=true&type=data&outTraceId=4611686018427387905-2130706433-12017" ..
  "&queue=q&topic=one&jobs=%5B%7B%22id%22%3A%224611686018427387905%22%2C%22inTraceId%22%3A%224611" ..
  "686018427387905-2130706433-12017%22%2C%22content%22%3A%22$PAYLOAD%22%2C%22retrying%22%3A0%2C%22" ..
  "RetryTimes%22%3A1%2C%22RetryTime%22%3A1533550162%2C%22IsRetry%22%3Atrue%2C%22BeginRetry%22%3A" ..
  "false%2C%22RetryResidueTime%22%3A0%7D%5D"
LUA
  {
    queue_ini q
    printf '[pool web]\nrun_type = http\nmax_connections = 8\n'
    printf '[topic q/one]\npool = web\nentry = http://127.0.0.1:%s/worker\nworkers = 8\n' "$port"
  } | begin
  opened q/one
  # An error of the script, or an answer that is none, would make a measure that is not one.
  wrk_side() {
    wrk -t 1 -c 8 -d "${1:-3}" -s "$T/post.lua" "http://127.0.0.1:$port/worker" >"$T/wrk.out" 2>"$T/wrk.err"
    if [[ -s $T/wrk.err ]] || grep -qE '^ *(Non-2xx|Socket errors)' "$T/wrk.out"; then
      cat "$T/wrk.err" "$T/wrk.out" >&2
      exit 1
    fi
    RATE=$(awk '/^Requests.sec/ { printf "%.0f", $2 }' "$T/wrk.out")
  }
  bus_side() {
    op b q/one pause >/dev/null
    fill q "$n"
    profile
    before=$(run_ns "${PID[b]}")
    RATE=$(calc "$FILLED / $(drain_time)" %.0f)
    cpu=$((cpu + $(run_ns "${PID[b]}") - before))
    all=$((all + FILLED))
  }
  wrk_side 1
  rounds "$ROUNDS" wrk_side bus_side
  [[ $(topic b q/one "done") == "$all" ]] || say "done says $(topic b q/one "done"), not $all"
  end
  stop nginx
  us=$(calc "$cpu / 1e3 / $all" %.1f)
  result http "drain through nginx and php-fpm, 8 at a time" "$RATIO" x at-least 0.70 \
    "$B_RATE jobs/s; wrk $A_RATE requests/s; the broker $us us of CPU a job" \
    "jobs_per_s:$B_RATE" "wrk_per_s:$A_RATE" "broker_us_per_job:$us"
}

# Commands as workers: processes that stay, against half of what intake takes or 30,000; a process
# for each job, against a loop that does nothing but start them.
exec_ini() { # TOPIC ENTRY [lines]
  printf '[topic %s]\nrun_type = exec\nworkers = 8\nentry = %s\n%s\n' "$1" "$2" "${3:-}"
}
exec_drain() { # N
  op b q/one pause >/dev/null
  fill q "$1"
  profile
  RATE=$(calc "$FILLED / $(drain_time)" %.0f)
  all=$((all + FILLED))
}
row_exec_resident() {
  local n all=0 want ECHO_WORKER=
  helper ECHO_WORKER echo_worker.c
  n=$(scaled 150000)
  intake_side() {
    op b q/one pause >/dev/null
    RATE=$(bus_rate q "$((n / 4))" 1)
    drain_time >/dev/null
  }
  resident_side() { exec_drain "$n"; }
  { queue_ini q; exec_ini q/one "$ECHO_WORKER" 'resident = yes'; } | begin
  opened q/one
  rounds "$ROUNDS" intake_side resident_side
  end
  want=$(calc "$A_RATE / 2 < 30000 ? $A_RATE / 2 : 30000" %.0f)
  result exec_resident "drain, 8 resident processes, chunk = 1" "$B_RATE" jobs/s at-least "$want" \
    "intake one by one $A_RATE/s" "jobs_per_s:$B_RATE" "intake_per_s:$A_RATE"
}
row_exec_once() {
  local n all=0 BARE_SPAWN=
  helper BARE_SPAWN bare_spawn.c
  n=$(scaled 6000)
  spawn_side() { RATE=$("$BARE_SPAWN" /bin/true 2 8); }
  once_side() { exec_drain "$n"; }
  { queue_ini q; exec_ini q/one /bin/true; } | begin
  opened q/one
  rounds "$ROUNDS" spawn_side once_side
  [[ $(topic b q/one "done") == "$all" ]] || say "done says $(topic b q/one "done"), not $all"
  end
  result exec_once "drain, a /bin/true for each job" "$RATIO" x at-least 0.8 \
    "$B_RATE jobs/s; bare posix_spawn $A_RATE/s" "jobs_per_s:$B_RATE" "bare_per_s:$A_RATE"
}
# What a producer of another queue waits for its reply while processes are started without a pause.
row_exec_replies() {
  local n quiet busy began ended done q50 q99 b50 b99 most starts
  n=$(scaled 400)
  { queue_ini q; exec_ini q/one /bin/true; queue_ini p; topic_ini p/one; } | begin
  opened q/one
  paused p/one
  op b q/one pause >/dev/null
  fill q "$((n * 60))"
  sleep 1 # Redis syncs its file once a second: what filling set off is over
  quiet=$("$LATENCY" send "$T/b.bus" p pw "$n" 8)
  profile
  began=$(date +%s%N)
  op b q/one resume >/dev/null
  "$LATENCY" send "$T/b.bus" p pw 20 8 >/dev/null
  busy=$("$LATENCY" send "$T/b.bus" p pw "$n" 8)
  done=$(topic b q/one "done")
  ended=$(date +%s%N)
  ((done < FILLED)) || say "all processes had ended before the last reply"
  end
  read -r _ q50 q99 _ <<<"$quiet"
  read -r _ b50 b99 most <<<"$busy"
  starts=$(calc "$done * 1e9 / ($ended - $began)" %.0f)
  result exec_replies "a producer's reply while processes start, p99" "$(calc "$b99 / 1000")" ms at-most 5 \
    "p50 $(calc "$b50 / 1000"), longest $(calc "$most / 1000"); $starts starts/s; before that: p50 $(calc "$q50 / 1000"), p99 $(calc "$q99 / 1000")" \
    "p50_ms:$(calc "$b50 / 1000")" "starts_per_s:$starts"
}

# `concurrency = auto` after php-fpm was reloaded with twice as many children, and with half of them,
# while jobs of 50 ms wait without end. The range is that of the tests: one child left free where the
# idle ones are known, 15 % off where only the queue is (unit/test_auto_concurrency.c); it stays as in test_pool.py.
looks() { # N: the time and the pool's limit, ten times a second
  curl -sSN --rate 10/s "http://$(admin b)/metrics?[1-$1]" | grep --line-buffered '^pepperbus_pool_limit{pool="auto"}' |
    while read -r _ limit; do echo "$EPOCHREALTIME $limit"; done
}
# settling CHILDREN LEAST MOST: seconds from the new php-fpm's start until the limit is in range and
# from there on was so in 14 of 20 looks; all of the watch when it never was
settling() {
  local began
  children auto "$1"
  began=$EPOCHREALTIME
  looks 70 >"$T/looks"
  awk -v began="$began" -v least="$2" -v most="$3" '
    { at[NR] = $1 - began; inside[NR] = inside[NR - 1] + ($2 >= least && $2 <= most) }
    END {
      settled = at[NR]
      for (i = NR - 19; i > 0; i--)
        if (inside[i] > inside[i - 1] && inside[i + 19] - inside[i - 1] >= 14) settled = at[i]
      printf "%.2f\n", settled
    }' "$T/looks"
}
auto_range() { echo $(($1 - 1)) $(($1 - 1)); } # CHILDREN: least and most
auto_queue_range() { echo $((($1 * 85 + 99) / 100)) $(($1 * 115 / 100)); }
auto() { # ROW WHAT [pool's lines]
  local row=$1 what=$2 few many doubled=() halved=()
  few=$("${row}_range" 8) many=$("${row}_range" 16)
  start_fpm auto 8 "pm.status_path = /status
pm.status_listen = $T/status.sock"
  {
    queue_ini q
    printf '[pool auto]\nrun_type = cgi\naddress = unix:%s\nconcurrency = auto\n%s\n' "$T/auto.sock" "${3:-}"
    printf '[topic q/slow]\npool = auto\nentry = %s\nworkers = 100\n' "$WORKERS/slow.php"
  } | begin
  paused q/slow
  PAYLOAD=50 fill q $((6000 * (ROUNDS + 1)))
  profile
  op b q/slow resume >/dev/null
  # shellcheck disable=SC2086 # two words each
  settling 8 $few >/dev/null
  for ((i = 0; i < ROUNDS; i++)); do
    # shellcheck disable=SC2086
    doubled+=("$(settling 16 $many)") halved+=("$(settling 8 $few)")
  done
  (($(backlog q))) || { say "the jobs did not last"; exit 1; }
  [[ $(topic b q/slow failed) == 0 ]] || say "$(topic b q/slow failed) attempts have failed"
  end
  stop auto
  settled() { # WHAT SECONDS...
    local longest
    longest=$(tr ' ' '\n' <<<"${*:2}" | sort -g | tail -1)
    result "$row" "$1" "$(median <<<"${*:2}")" s at-most 5 "longest $longest; $ROUNDS reloads, jobs waiting meanwhile" "longest_s:$longest"
  }
  settled "$what: children doubled, 8 to 16" "${doubled[@]}"
  settled "$what: children halved" "${halved[@]}"
}
row_auto() { auto auto "auto" "status = unix:$T/status.sock"; }
row_auto_queue() { auto auto_queue "auto, no status page"; }

# --- all of them ---

ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
start_fpm fpm 8
load=$(cut -d' ' -f1 /proc/loadavg)
for row in $BENCH_ROWS; do
  say "# $row"
  "row_$row"
done
took=$(($(date +%s) - BEGAN))
load="$load -> $(cut -d' ' -f1 /proc/loadavg)"
printf '\n%-44s %12s  %-19s %-4s %s\n' what measured target met detail
printf '%s\n' "${RESULTS[@]}"
redis_version=$(redis-server --version | grep -o 'v=[0-9.]*' | cut -c3-)
printf '%s missed; %s s; load average %s; %s cores; Redis %s (AOF everysec); %s\n' "$MISSED" "$took" \
  "$load" "$(nproc)" "$redis_version" "$("$FPM_BIN" -v | head -1 | cut -d' ' -f1,2)"
if [[ $BENCH_JSON ]]; then
  {
    printf '{\n  "seconds": %s,\n  "cores": %s,\n  "load": "%s",\n  "redis": "%s",\n  "missed": %s,\n  "rows": [\n' \
      "$took" "$(nproc)" "$load" "$redis_version" "$MISSED"
    (IFS=$'\n' && sed '$!s/$/,/' <<<"${JSON[*]}")
    printf '  ]\n}\n'
  } >"$BENCH_JSON"
fi
[[ ! ${BENCH_STRICT:-} || $MISSED == 0 ]]
