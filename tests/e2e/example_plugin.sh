#!/usr/bin/env bash
# examples/plugin-unix as a stranger has it: built with its own Makefile against the installed tree,
# installed beside the other plugins, and used: jobs flow, one of a chunk fails alone, the service is
# killed and comes back, a reload, figures and health.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli python3 curl
pkg-config --exists jansson 2>/dev/null || skip_all "jansson's headers are not installed"
install_tree

cp -r "$ROOT/examples/plugin-unix" "$T/outside"
chmod -R u+w "$T/outside"
ok "make" quietly make -C "$T/outside" CFLAGS='-O2 -g -Werror'
make_check() { make -s -C "$T/outside" check >"$T/contract.log" 2>&1; }
ok "make check: it keeps the contract" make_check
ok "make install" quietly make -C "$T/outside" install # pkg-config knows the root
ok "beside the others" test -e "$(at plugindir)/unix.so"

start_service() {
  (cd "$T" && exec python3 "$T/outside/service.py" "$T/service.sock" >>"$T/seen" 2>>"$T/service.log") &
  PID[service]=$!
  wait_until 10 service_up
}
service_up() { python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$T/service.sock"; }
ok "the service starts" start_service
works() {
  pepperbus-plugin-check --pool "address=unix:$T/service.sock" --wait 10000 "$(at plugindir)/unix.so" \
    >"$T/service-contract.log" 2>&1
}
ok "the contract, with a service that answers" works
: >"$T/seen"

start_redis redis
broker() { # lines of [pool service]
  conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool service]
run_type = unix
address = unix:$T/service.sock
$1
[queue q]
password = pw
[topic q/log]
pool = service
chunk = 4
attempts = 2
backoff = 100ms..200ms
timeout = 5s
INI
}
seen() { grep -c "^$1" "$T/seen" || true; }
broker "connections = 3"
start_broker b
like "$(ctl b plugin ls)" "unix +1\.0 +1\.[0-9]+ +unix +loaded" "plugin ls has it"
eventually 10 'topic_state b q/log' open "its ping passes"
for i in {1..10}; do push b q first-{1..20}-"$i" >"$T/reply"; done
eventually 20 'topic b q/log done' 200 "200 jobs are done"
is "$(seen first-)" 200 "each was seen once"

push b q good-1 bad good-2 good-3 >"$T/reply"
eventually 20 'topic b q/log dead' 1 "one job of a chunk fails, in the end for good"
eventually 20 'topic b q/log done' 203 "the others of its chunk are done"
is "$(seen 'good-')" 3 "and ran once each"
is "$(seen bad)" 2 "the bad one was tried again, alone"
like "$(op b q/log errors)" "looked at bad" "its message is kept"

# --- the service goes and comes back ---

stop service KILL
push b q away-{1..60} >"$T/reply"
eventually 20 'topic_state b q/log' unreachable "without the service the topic waits"
like "$(api b GET /api/v1/status)" "service.sock: (No such file|Connection refused)" "the pool says why"
is "$(topic b q/log dead)" 1 "no attempt is counted"
ok "the service comes back" start_service
eventually 30 'topic b q/log done' 263 "all 60 are done"
is "$(seen away-)" 60 "each once"

# --- a reload while jobs run ---

for i in {1..20}; do
  push b q reload-{1..20}-"$i" >"$T/reply"
  if ((i == 5 || i == 12)); then
    broker "in_flight = $i"
    ok "reload $i" quietly ctl b config reload
  fi
done
eventually 30 'topic b q/log done' 663 "400 jobs through two reloads"
is "$(seen reload-)" 400 "each once"

metrics=$(curl -sS "http://$(admin b)/metrics")
like "$metrics" "pepperbus_unix_connections\{pool=\"service\"\} [1-9]" "its figures are in /metrics"
like "$metrics" "pepperbus_unix_requests_total\{queue=\"q\",topic=\"log\"" "those of topics too"

# --- configurations that it refuses ---

broker "address_of = x"
like "$("$PEPPERBUSD" -t -c "$T/b.ini" 2>&1 || true)" "b\.ini:[0-9]+: .*address_of" "an unknown key: file and line"
sed 's/^address = unix:.*service.sock/address = 127.0.0.1:99/' "$T/b.ini" | grep -v address_of >"$T/c.ini"
like "$("$PEPPERBUSD" -t -c "$T/c.ini" 2>&1 || true)" "c\.ini:[0-9]+: .*write unix:/run/service.sock" "a wrong address: in the plugin's words"

STOP_STATUS=0
stop b
is "$STOP_STATUS" 0 "a clean stop"
done_testing
