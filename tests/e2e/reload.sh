#!/usr/bin/env bash
# HUP: what differs is applied, what is equal does not notice, a bad file changes nothing.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_fpm fpm 8
base() {
  cat <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 6
[queue q]
password = ${PW:-pw}
[topic q/slow]
pool = php
entry = $WORKERS/slow.php
workers = 2
INI
}
base | conf b
start_broker b
reload() {
  kill -HUP "${PID[b]}"
}
eventually 10 "topic_state b q/slow" open "open"

# A running job is not disturbed by a reload that does not touch its topic.
touch "$T/hold"
push b q held >/dev/null
ok "a job runs" wait_until 5 test -s "$T/begun"
{ base; printf '[queue r]\npassword = pw\n[topic r/log]\npool = php\nentry = %s\n' "$WORKERS/log.php"; } | conf b
reload
eventually 10 "topic_state b r/log" open "a new queue and topic open"
push b r hello >/dev/null
eventually 5 "lines handled.r.log" 1 "and handle a job, while the other still runs"
is "$(lines ended)" 0 "the running job goes on"
rm "$T/hold"
eventually 10 "lines ended" 1 "and ends as it would have"
is "$(lines begun)" 1 "it was not started twice"

# A changed topic: the running job ends in the old one.
touch "$T/hold"
push b q held >/dev/null
eventually 5 "lines begun" 2 "another job runs"
{ base | sed 's/workers = 2/workers = 4/'; printf '[queue r]\npassword = pw\n[topic r/log]\npool = php\nentry = %s\n' "$WORKERS/log.php"; } | conf b
reload
eventually 10 "topic b q/slow workers" 4 "its topic is changed meanwhile"
rm "$T/hold"
eventually 10 "lines ended" 2 "a job that ran during a change of its topic ends"
is "$(lines begun)" 2 "once"
push b q 300 300 300 300 >/dev/null
eventually 10 "lines ended" 6 "four more run in the new window"

# A bad file changes nothing and says why, all faults at once, with file and line.
cp "$T/b.ini" "$T/good.ini"
{ cat "$T/good.ini"; printf '[topic q/other]\npool = nosuch\nworkers = many\nentry = %s\n' "$WORKERS/log.php"; } >"$T/b.ini"
reload
ok "the log names file and line" wait_until 5 contains "$T/b.log" 'b\.ini:[0-9]+: .*many'
ok "and the other fault too" wait_until 5 contains "$T/b.log" 'b\.ini:[0-9]+: .*nosuch'
ok "and says that the old configuration goes on" wait_until 5 contains "$T/b.log" 'not reloaded|nothing was changed'
is "$("$PEPPERBUSD" -t -c "$T/b.ini" >/dev/null 2>&1; echo $?)" 2 "-t answers 2 for it"
push b r again >/dev/null
eventually 5 "lines handled.r.log" 2 "work goes on"
cp "$T/good.ini" "$T/b.ini"

# A new password: new connections need it, and a connection that is there stays.
PW=new base | conf b
was=$(wc -l <"$T/b.log")
reload
reloaded() { tail -n +$((was + 1)) "$T/b.log" | grep -c 'configuration reloaded' >/dev/null; }
ok "a new password" wait_until 5 reloaded # not by trying: who tries too often is held off
is "$(resp b AUTH q:new)" OK "works"
like "$(resp b AUTH q:pw 2>&1)" "invalid password" "the old one does not"
like "$(AUTH=q:new resp b LPUSH r x)" "NOAUTH|not exist" "a removed queue is gone"

# The log's level and form.
base | SERVER=$'log_level = debug\nlog_format = json' conf b
was=$(wc -l <"$T/b.log")
reload
reloaded_json() { tail -n +$((was + 1)) "$T/b.log" | grep -q '^{.*configuration reloaded'; }
ok "log_format = json" wait_until 5 reloaded_json
is "$(tail -n +$((was + 1)) "$T/b.log" | grep '^{.*configuration reloaded' | json '$j["level"]')" info "a line is a JSON object"
base | conf b
was=$(wc -l <"$T/b.log")
reload
ok "and back" wait_until 5 eval 'tail -n +$((was + 1)) "$T/b.log" | grep -q "Z info: .*configuration reloaded"'

# A port that another process has. Pull workers are told where the broker listens: they must not be
# sent there, with their password.
printf 'echo "$PEPPERBUS_PORT" >>%s/pulls\nexec sleep 1000\n' "$T" >"$T/pull"
pulled() { printf '[topic q/pull]\nrun_type = pull\npull_password = pw\nworkers = 1\nentry = /bin/sh %s/pull\n' "$T"; }
{ base; pulled; } | conf b
reload
eventually 5 "lines pulls" 1 "a pull worker"
is "$(<"$T/pulls")" "$(port b)" "is told where to go"
sed -i "s|^listen = .*|listen = 127.0.0.1:$(redis_port redis)|; s/^workers = 2/workers = 4/" "$T/b.ini"
: >"$T/b.log"
reload
ok "the port is taken" wait_until 5 contains "$T/b.log" "error: cannot listen on 127.0.0.1:$(redis_port redis): another process has that port"
ok "which the log says" wait_until 5 contains "$T/b.log" "error: the configuration was not reloaded"
is "$(topic b q/slow workers) $(lines pulls)" "2 1" "and nothing has changed"
ok "the old one is there" port_open "$(port b)"
sed -i "s|^listen = .*|listen = 0.0.0.0:$(port b)|" "$T/b.ini"
reload
ok "a port that it has itself" wait_until 5 contains "$T/b.log" "error: cannot listen on 0.0.0.0:.* while this broker listens on 127.0.0.1:$(port b): that change takes a restart"
{ base; pulled; } | sed 's/^workers = 2/workers = 4/' | conf b
sed -i 's/^node = b$/node = other/' "$T/b.ini"
reload
eventually 5 "topic b q/slow workers" 4 "mended, it is applied"
ok "a warning says once that it is one" contains "$T/b.log" "Z warning: \[server\] node, state_dir"
base | conf b
reload
eventually 5 "topic b q/slow workers" 2 "and back"

# Producers at full speed through ten reloads: no error, nothing lost.
{ base; printf '[topic q/log]\npool = php\nentry = %s\n' "$WORKERS/log.php"; } >"$T/one"
{ base | sed 's/workers = 2/workers = 3/'; printf '[topic q/log]\npool = php\nworkers = 3\nentry = %s\n' "$WORKERS/log.php"; } >"$T/two"
conf b <"$T/one"
reload
eventually 10 "topic_state b q/log" open "q/log open"
was=$(lines handled.q.log)
(for i in {1..3000}; do echo "LPUSH q 0"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw >"$T/out" 2>&1) &
producer=$!
for _ in {1..5}; do
  for way in two:3 one:10; do
    conf b <"$T/${way%:*}"
    reload
    wait_until 5 equals "topic b q/log workers" "${way#*:}" || note "a reload took long"
  done
done
wait "$producer"
is "$(grep -c 'error\\":\\"\\"\|"error":""' "$T/out")" 3000 "3000 jobs through ten reloads: each acknowledged"
eventually 30 "lines handled.q.log" $((was + 3000)) "and handled"
is "$(cut -d' ' -f1 "$T/handled.q.log" | sort | uniq -d | wc -l)" 0 "once each"
done_testing
