#!/usr/bin/env bash
# Stock Redis clients against a real broker, each with its own handshake. One that is not installed
# is skipped by name. Packages of npm (tests/e2e/package.json) are looked for in
# $PEPPERBUS_NPM_DIR, where `scripts/install-deps test DIR` put them; default: npm/ beside the broker.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli

CLIENTS=$E2E/clients
start_redis redis
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/nobody.sock
[queue q]
password = pw
[topic q/t]
pool = php
entry = $WORKERS/log.php
INI
start_broker b
P=$(port b)
cli() { timeout 90 redis-cli --no-auth-warning -p "$P" "$@" 2>&1; }
stored() { redis redis xlen 'pb:{q}:s'; }

# --- redis-cli ---
like "$(cli -a q:pw LPUSH q/t job)" '"error":""' "redis-cli -a queue:password"
like "$(cli --user q --pass pw LPUSH q job)" '"error":""' "redis-cli --user queue --pass password"
like "$(cli --user default --pass q:pw PING)" PONG "redis-cli --user default"
like "$(cli -3 -a q:pw LPUSH q job)" '"error":""' "redis-cli -3"
like "$(cli -3 --user q --pass pw INFO server)" 'pepperbus_version' "redis-cli -3, user and password, INFO"
is "$(cli -a q:pw -n 0 ECHO hi)" hi "redis-cli -n 0"
like "$(cli -a q:pw -n 1 ECHO hi)" 'out of range' "redis-cli -n 1 says that there is none"
like "$(cli -a q:no PING)" 'NOAUTH' "redis-cli with a wrong password"
like "$(cli -u "redis://q:pw@127.0.0.1:$P" PING)" PONG "redis-cli -u redis://queue:password@"
before=$(stored)
{
  for i in $(seq 1000); do printf '*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$3\r\nabc\r\n'; done
} | cli -a q:pw --pipe >"$T/pipe.log"
like "$(<"$T/pipe.log")" 'errors: 0, replies: 1000' "redis-cli --pipe"
is "$(($(stored) - before))" 1000 "and each is stored once"
is "$(for i in $(seq 20); do echo "PING $i"; done | cli -a q:pw | tr '\n' ' ')" "$(seq -s ' ' 20) " \
  "redis-cli reading commands from a pipe"
if command -v script >/dev/null; then
  # On a terminal it asks for COMMAND DOCS first, for its hints; what is typed before its prompt is
  # thrown away.
  mkfifo "$T/keys"
  (cd "$T" && TERM=xterm exec timeout 90 script -qec \
    "stty cols 120 rows 40; redis-cli --no-auth-warning -p $P -a q:pw" /dev/null \
    <"$T/keys" >"$T/screen" 2>&1) &
  PID[terminal]=$!
  exec 9>"$T/keys"
  prompts() { grep -qz -- "$1.*127\.0\.0\.1:$P> " "$T/screen"; } # WHAT: behind that
  wait_until 10 prompts '' || true
  printf 'LPUSH q/t typed\r' >&9
  ok "redis-cli on a terminal" wait_until 10 prompts '\\"error\\":\\"\\"'
  printf 'PING\r' >&9
  ok "and it goes on" wait_until 10 prompts 'PONG'
  printf 'quit\r' >&9
  exec 9>&-
  wait "${PID[terminal]}" || true
  unset 'PID[terminal]'
else
  skip "redis-cli on a terminal" "script(1) is not installed"
fi

# --- redis-benchmark ---
if command -v redis-benchmark >/dev/null; then
  before=$(stored)
  out=$(timeout 90 redis-benchmark -p "$P" -a q:pw -c 20 -n 2000 -P 4 LPUSH q/t xyz 2>&1 || true)
  like "$out" 'throughput summary|requests per second' "redis-benchmark -a queue:password"
  is "$(($(stored) - before))" 2000 "and each is stored once"
else
  skip "redis-benchmark" "not installed"
fi

# --- PHP ---
if php -r 'exit((int) !extension_loaded("redis"));' 2>/dev/null; then
  is "$(timeout 90 php "$CLIENTS/phpredis.php" 127.0.0.1 "$P" 2>&1)" \
    "auth ping select push pipeline addjob error info name" "phpredis"
else
  skip "phpredis" "not installed"
fi
predis=
for f in /usr/share/php/Predis/autoload.php /usr/share/php/Predis/Autoloader.php \
  "$ROOT/sdk/php/vendor/predis/predis/autoload.php"; do
  [[ -e $f && ! $predis ]] && predis=$f
done
if command -v php >/dev/null && [[ $predis ]]; then
  is "$(timeout 90 php "$CLIENTS/predis.php" 127.0.0.1 "$P" "$predis" 2>&1)" \
    "ping push pipeline error info refused" "predis"
else
  skip "predis" "not installed"
fi

# --- node ---
npm=${PEPPERBUS_NPM_DIR:-$(dirname "$PEPPERBUSD")/npm}
node_client() { # module script expected
  if command -v node >/dev/null && [[ -d $npm/node_modules/$1 ]]; then
    is "$(NODE_PATH=$npm/node_modules timeout 90 node "$CLIENTS/$2" 127.0.0.1 "$P" 2>&1)" "$3" "$1"
  else
    skip "$1" "not in $npm (scripts/install-deps test $npm)"
  fi
}
node_client ioredis ioredis.js "ping push pipeline error info refused"
node_client redis node_redis.js "ping push pipeline error info name refused"

# --- Python ---
python=
for p in /usr/bin/python3 python3; do
  [[ $python ]] || { "$p" -c 'import redis' 2>/dev/null && python=$p; } || true
done
if [[ $python ]]; then
  is "$(timeout 90 "$python" "$CLIENTS/redis_py.py" 127.0.0.1 "$P" 2>&1)" \
    "ping push pipeline error info name refused user" "redis-py"
else
  skip "redis-py" "not installed"
fi

# --- C ---
# shellcheck disable=SC2046 # the flags are words
if pkg-config --exists hiredis 2>/dev/null && ${CC:-cc} -o "$T/hiredis" "$CLIENTS/hiredis.c" \
  $(pkg-config --cflags --libs hiredis | sed 's|-I\S*/hiredis||') >"$T/cc.log" 2>&1; then
  is "$(timeout 90 "$T/hiredis" 127.0.0.1 "$P" 2>&1 | tr '\n' ' ')" "auth push pipeline error " "hiredis"
else
  skip "hiredis" "its headers or a C compiler are not installed"
fi

like "$(cli -a q:pw INFO stats)" 'protocol_errors:0' "none of them was misunderstood"
done_testing
