#!/usr/bin/env bash
# managed = yes: the broker's own redis-server, whose data survives whatever happens to the broker.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_fpm fpm 2
conf b <<INI
[storage main]
managed = yes
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 2
[queue q]
password = pw
[topic q/log]
pool = php
entry = $WORKERS/log.php
INI
start_broker b
server() {
  local d
  for d in $(at_home); do
    [[ $(cat "/proc/$d/comm" 2>/dev/null) =~ ^(redis|valkey)-server$ ]] && echo "$d"
  done
  return 0
}
# How long a call took is the machine's business too.
unlike "$(grep -vE "held up everything else|shorter than 12 characters" "$T/b.log")" "warning:" "no warning, for nothing was wrong"
push b q one >/dev/null
eventually 10 "lines handled.q.log" 1 "works with a server of its own"
pid=$(server)
is "$(wc -w <<<"$pid")" 1 "there is one redis-server"

op b q/log pause >/dev/null
push b q two three >/dev/null
stop b
is "$STOP_STATUS" 0 "a clean stop"
eventually 5 "server" "" "ends the server as well"
start_broker b
eventually 10 "topic b q/log ready" 2 "two jobs are still there after a restart"

pid=$(server)
stop b KILL
is "$(server)" "$pid" "kill -9 of the broker leaves the server alone"
start_broker b
is "$(server)" "$pid" "the next broker adopts it"
op b q/log resume >/dev/null
eventually 10 "lines handled.q.log" 3 "and handles what waited"

# A second one in the same folder, by mistake: it must not get at the first one's server.
T_LISTEN=$(free_port) T_ADMIN=$(free_port)
sed -e "s/^listen = .*/listen = 127.0.0.1:$T_LISTEN/" -e "s/^admin = .*/admin = 127.0.0.1:$T_ADMIN/" \
  "$T/b.ini" >"$T/second.ini"
rc=0
"$PEPPERBUSD" -c "$T/second.ini" >"$T/second.log" 2>&1 || rc=$?
is "$rc" 1 "a second broker in one state_dir does not start"
like "$(<"$T/second.log")" "another pepperbusd \(pid ${PID[b]}\) runs in state_dir" "and says who is there"
is "$(server)" "$pid" "the first one's server runs on"
ok "and the first one is ready" broker_ready b

# Killed, and nobody has asked for its exit status: the zombie is no living node.
stop b
(cd "$T" && exec sh -c '"$1" -c "$2" >>"$3" 2>&1 & echo $! >"$4"; exec sleep 300' - \
  "$PEPPERBUSD" "$T/b.ini" "$T/b.log" "$T/b.pid") &
PID[careless]=$!
ok "a broker whose parent does not care" wait_until 20 broker_ready b
wait_until 10 test -s "$T/b.pid"
kill -KILL "$(<"$T/b.pid")"
is_zombie() { [[ $(ps -o stat= -p "$(<"$T/b.pid")") == Z* ]]; }
ok "is killed and a zombie" wait_until 10 is_zombie
start_broker b
ok "the next one starts at once" broker_ready b
stop careless
pid=$(server)

kill -KILL "$pid"
ok "a killed server is started again" wait_until 10 bash -c "
  redis-cli --no-auth-warning -s '$T/b.bus' -a q:pw LPUSH q four | grep -q '\"error\":\"\"'"
eventually 10 "lines handled.q.log" 4 "and used"
unlike "$(server)" "^$pid$" "it is another process"
stop b
eventually 5 "server" "" "nothing is left behind"

# Its folder went away with it: that is told, and not that Redis is to be installed.
start_broker b
rm -rf "$T/b.state/main"
kill -KILL "$(server)"
ok "without its folder the reason is told" wait_until 10 eval '
  curl -sS "http://$(admin b)/readyz" | grep -q "cannot lock .*/main: No such file or directory; trying"'
stop b

# No Redis on this machine: the broker says so where somebody looks.
sed -i 's/^managed = yes/&\nserver_binary = no-such-redis/' "$T/b.ini"
WAIT=no start_broker b
ok "without a redis-server the reason is told, and what to do" wait_until 10 eval '
  curl -sS "http://$(admin b)/readyz" | grep -q "cannot start no-such-redis: No such file.*install Redis"'
stop b
done_testing
