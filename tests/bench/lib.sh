# shellcheck shell=bash
# What run.sh starts and asks. Everything lives in a scratch directory $T; whatever was started ends with
# the script, by its process id. Nothing sleeps and hopes: wait_until asks again and again until its
# deadline.
#
# The broker is $PEPPERBUSD with the plugins of $PEPPERBUS_PLUGIN_DIR; without them, build/ is used.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PEPPERBUSD=${PEPPERBUSD:-$ROOT/build/pepperbusd}
PEPPERBUS_PLUGIN_DIR=${PEPPERBUS_PLUGIN_DIR:-$(dirname "$PEPPERBUSD")/plugins/.libs}
WORKERS=$ROOT/tests/e2e/workers
# What a machine with much else to do takes longer for. Only what fails waits for the end of a deadline, so
# this costs nothing where all is well.
PATIENCE=5

declare -A PID=()  # of what was started, by name

skip_all() {
  echo "cannot measure: $*" >&2
  exit 77
}

# --- the scratch directory and the end ---

# A short path: unix sockets have 107 bytes.
T=$(mktemp -d "${TMPDIR:-/tmp}/pbe2e.XXXXXX")
chmod 755 "$T"

# Processes that are at home in $T: what was started here and what that started (a managed
# redis-server outlives a killed broker on purpose).
at_home() {
  local d cwd
  for d in /proc/[0-9]*; do
    cwd=$(readlink "$d/cwd" 2>/dev/null) || continue
    if [[ $cwd == "$T" || $cwd == "$T"/* ]] ||
      { [[ ${d#/proc/} != "$$" ]] && tr '\0' ' ' <"$d/cmdline" 2>/dev/null | grep -qF "$T/"; }; then
      [[ ${d#/proc/} == "$$" || ${d#/proc/} == "$BASHPID" ]] || echo "${d#/proc/}"
    fi
  done
}

finish() {
  local status=$? name pid pids
  trap - EXIT INT TERM
  set +e
  for name in "${!PID[@]}"; do
    pid=${PID[$name]}
    kill -CONT "$pid" 2>/dev/null
    kill -TERM "$pid" 2>/dev/null
  done
  for ((i = 0; i < 50; i++)); do
    pids=$(at_home)
    [[ $pids ]] || break
    if ((i == 20)); then
      # shellcheck disable=SC2086 # a list of numbers
      kill -TERM $pids 2>/dev/null
    elif ((i >= 35)); then
      # shellcheck disable=SC2086
      kill -KILL $pids 2>/dev/null
    fi
    sleep 0.1
  done
  wait 2>/dev/null
  if ((status != 0 && status != 77)); then
    for log in "$T"/*.log; do
      [[ -s $log ]] || continue
      echo "# --- the end of ${log##*/} ---"
      tail -n "${E2E_LOG_LINES:-40}" "$log" | cut -c1-400 | sed 's/^/# /'
    done
  fi
  for port in "$T"/port.*; do rm -f "$PORTS/${port##*.}"; done
  find "$PORTS" -type f -mmin +60 -delete 2>/dev/null # of tests that were killed
  rmdir "$PORTS" 2>/dev/null
  if [[ ${KEEP:-} ]]; then echo "# kept: $T"; else rm -rf "$T"; fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- waiting ---

now_ms() { echo $(($(date +%s%N) / 1000000)); }
# wait_until SECONDS command args...: until it succeeds; false at the deadline, which is that of a
# machine at leisure
wait_until() {
  local end=$(($(now_ms) + $1 * 1000 * PATIENCE))
  shift
  until "$@" 2>/dev/null; do
    (($(now_ms) < end)) || return 1
    sleep 0.02
  done
}
equals() { [[ $(eval "$1" 2>/dev/null) == "$2" ]]; }

# --- addresses ---

# Which of them are given to tests that run now. Somebody listens there later only, or not all the
# time, so that connecting does not tell. A test that is killed leaves its own behind, a few of many.
PORTS=${TMPDIR:-/tmp}/pbe2e.ports.$EUID

# A port that nobody uses. Below the range that connections get theirs from, so that none of
# those takes it meanwhile.
free_port() {
  local port try
  for ((try = 0; try < 1000; try++)); do
    port=$((10240 + (RANDOM * 32768 + RANDOM) % 21000))
    if (mkdir -p "$PORTS" && set -C && : >"$PORTS/$port") 2>/dev/null; then
      : >"$T/port.$port"
      ! port_open "$port" || continue
      echo "$port"
      return
    fi
  done
  echo "no port can be had in $PORTS" >&2
  return 1
}

# --- Redis ---

need() { # commands...: nothing is measured where one is missing
  local c
  for c in "$@"; do command -v "$c" >/dev/null || skip_all "$c is not installed"; done
}
# start_redis NAME [redis-server options...]: on unix socket $T/NAME.sock and port $(redis_port NAME)
start_redis() {
  local name=$1
  shift
  mkdir -p "$T/$name"
  [[ -e $T/$name.port ]] || free_port >"$T/$name.port"
  (cd "$T/$name" && exec redis-server --port "$(<"$T/$name.port")" --bind 127.0.0.1 \
    --unixsocket "$T/$name.sock" --dir "$T/$name" --appendonly yes --appendfsync everysec \
    --save '' --daemonize no "$@" >>"$T/$name.log" 2>&1) &
  PID[$name]=$!
  wait_until 10 redis_up "$name" || { echo "redis $name does not start" >&2; exit 1; }
}
redis_up() { [[ $(redis "$1" ping) == PONG ]]; }
redis_port() { cat "$T/$1.port"; }
redis() {
  local name=$1
  shift
  redis-cli -s "$T/$name.sock" "$@"
}

# --- nginx, php-fpm ---

# start_nginx PORT: $T/nginx.conf is made of the lines on standard input, which are those of http {};
# waits until it listens on PORT.
start_nginx() {
  local user=''
  ((EUID != 0)) || user='user root;'
  {
    cat <<NGINX
$user
daemon off;
worker_processes 1;
pid $T/nginx.pid;
error_log $T/nginx.log;
events { worker_connections 512; }
http {
  client_body_temp_path $T/nginx.body; proxy_temp_path $T/nginx.proxy;
  fastcgi_temp_path $T/nginx.fcgi; uwsgi_temp_path $T/nginx.uwsgi; scgi_temp_path $T/nginx.scgi;
NGINX
    cat
    echo '}'
  } >"$T/nginx.conf"
  (cd "$T" && exec nginx -c "$T/nginx.conf" -e "$T/nginx.log" >>"$T/nginx.out.log" 2>&1) &
  PID[nginx]=$!
  wait_until 10 port_open "$1" || { echo "nginx does not start" >&2; exit 1; }
}

FPM_BIN=
for f in /usr/sbin/php-fpm* /usr/local/sbin/php-fpm*; do
  [[ -x $f ]] && FPM_BIN=$f
done
# start_fpm NAME CHILDREN [extra pool lines]: on $T/NAME.sock. Environment for workers: T.
start_fpm() {
  local name=$1 children=$2 extra=${3:-} user='' flags=(-F)
  [[ $FPM_BIN ]] || skip_all "php-fpm is not installed"
  if ((EUID == 0)); then
    flags+=(-R)
    user=$'user = root\ngroup = root'
  fi
  cat >"$T/$name.conf" <<CONF
[global]
error_log = $T/$name.log
pid = $T/$name.pid
log_level = notice
process_control_timeout = 10s
[www]
$user
listen = $T/$name.sock
listen.backlog = 511
pm = static
pm.max_children = $children
clear_env = no
env[T] = $T
php_admin_value[error_log] = $T/$name.php.log
php_admin_flag[display_errors] = on
php_admin_flag[html_errors] = off
$extra
CONF
  (cd "$T" && exec env T="$T" "$FPM_BIN" "${flags[@]}" -y "$T/$name.conf" -d opcache.enable=1 \
    >>"$T/$name.out.log" 2>&1) &
  PID[$name]=$!
  wait_until 10 test -S "$T/$name.sock" || { echo "php-fpm $name does not start" >&2; exit 1; }
}
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

ready_count() { grep -c 'ready to handle' "$T/$1.log" || true; }
ready_again() { (($(ready_count "$1") > $2)); }
# reload NAME: and wait until the new master is there
reload() {
  local n
  n=$(ready_count "$1")
  kill -USR2 "$(<"$T/$1.pid")"
  wait_until 15 ready_again "$1" "$n"
}
children() { # NAME N: it is reloaded with so many
  sed -i "s/^pm.max_children = .*/pm.max_children = $2/" "$T/$1.conf"
  reload "$1"
}

# stop NAME: and wait until it is gone
stop() {
  local name=$1 pid=${PID[$1]}
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  unset "PID[$name]"
}

# --- the broker ---

# conf NAME: writes $T/NAME.ini: [server] with free ports (kept over rewrites), then what stands
# on standard input.
conf() {
  local name=$1
  [[ -e $T/$name.listen ]] || free_port >"$T/$name.listen"
  [[ -e $T/$name.admin ]] || free_port >"$T/$name.admin"
  {
    echo "[server]"
    echo "node = $name"
    echo "listen = 127.0.0.1:$(<"$T/$name.listen"), unix:$T/$name.bus"
    echo "admin = 127.0.0.1:$(<"$T/$name.admin")"
    echo "state_dir = $T/$name.state"
    echo "plugin_dir = $PEPPERBUS_PLUGIN_DIR"
    cat
  } >"$T/$name.ini"
  chmod 600 "$T/$name.ini" # passwords stand in it
}
port() { cat "$T/$1.listen"; }
admin() { echo "127.0.0.1:$(<"$T/$1.admin")"; }

broker_ready() { curl -fsS -o /dev/null "http://$(admin "$1")/readyz"; }
# start_broker NAME: with $T/NAME.ini; waits until it is ready
start_broker() {
  local name=$1
  [[ -x $PEPPERBUSD ]] || skip_all "$PEPPERBUSD is not built"
  (cd "$T" && exec "$PEPPERBUSD" -c "$T/$name.ini" >>"$T/$name.log" 2>&1) &
  PID[$name]=$!
  wait_until 20 broker_ready "$name" || { echo "broker $name is not ready in time" >&2; exit 1; }
}
# api NAME METHOD PATH [body]: the raw admin API
api() {
  local name=$1 method=$2 path=$3
  shift 3
  curl -sS -X "$method" -H "Authorization: Bearer $(<"$T/$name.state/admin.token")" \
    ${1:+-H "Content-Type: application/json" -d "$1"} "http://$(admin "$name")$path"
}
# json FILTER: a value of the JSON on standard input; FILTER is a PHP expression over $j
json() { php -r '$j = json_decode(stream_get_contents(STDIN), true); $v = '"$1"'; echo is_bool($v) ? ($v ? "true" : "false") : (is_scalar($v) ? $v : json_encode($v)), "\n";'; }
# topic NAME PATH FIELD: what the API says of a topic: a count (ready running retry dead delayed,
# over all nodes), a counter of this node's (done failed attempts ...), or state, why, ...
topic() {
  api "$1" GET "/api/v1/topics/$2" |
    json "\$j['counts']['$3'] ?? \$j['counters']['$3'] ?? \$j['$3'] ?? 'no $3'"
}
topic_state() { topic "$1" "$2" state; }
# op NAME PATH VERB: pause, resume
op() { api "$1" POST "/api/v1/topics/$2/$3"; }

# --- what workers have done: files under $T that workers append to, a line each ---

lines() { if [[ -e $T/$1 ]]; then wc -l <"$T/$1"; else echo 0; fi; }
