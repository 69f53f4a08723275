#!/usr/bin/env bash
# Systems: a node takes jobs for all queues and runs the topics of its own systems only; a reload
# changes whose node it is. And a queue whose topics keep their jobs in two storages.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_redis other
start_fpm fpm 4
node_ini() { # NAME systems
  SERVER="systems = $2" conf "$1" <<INI
[system live]
[system back]
[storage main]
system = live
address = unix:$T/redis.sock
[storage office]
system = back
address = unix:$T/other.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 2
[queue l]
system = live
password = pw
[topic l/any]
pool = php
entry = $WORKERS/any.php
[queue o]
system = back
password = pw
[topic o/any]
pool = php
entry = $WORKERS/any.php
INI
}
node_ini one live
node_ini two back
start_broker one
states() { echo "$(topic_state "$1" l/any) $(topic_state "$1" o/any)"; }
eventually 10 "states one" "open disabled" "one runs the topics of live"
push one o early >/dev/null
is "$(topic one o/any ready)" 1 "and keeps the jobs of others until their node is there"
start_broker two
eventually 10 "states two" "disabled open" "two those of back"
like "$(topic one o/any why)" "its system is not one of this node's" "which it says of the other"
push one l from-one >/dev/null
push one o other-from-one >/dev/null
push two l from-two >/dev/null
push two o other-from-two >/dev/null
eventually 10 "lines handled" 5 "jobs of both, added to both, are handled"
# A job is noted by its worker before the broker has the answer and counts it.
eventually 10 "topic one l/any done; topic two o/any done" $'2\n3' "by the node of their system"
is "$(topic one o/any done) $(topic two l/any done)" "0 0" "each"
is "$(redis redis keys 'pb:{o}*' | tr -d '\n')$(redis other keys 'pb:{l}*' | tr -d '\n')" "" \
  "and each in its system's storage"

# Nobody's node: the jobs wait.
node_ini one back
kill -HUP "${PID[one]}"
eventually 10 "states one" "disabled open" "a reload: one is a node of back now"
push two l waits >/dev/null
eventually 5 "topic two l/any ready" 1 "a job of live waits"
node_ini one 'live, back'
kill -HUP "${PID[one]}"
eventually 10 "states one" "open open" "now of both"
ok "it is handled" wait_until 10 contains "$T/handled" ' waits$'
stop two
stop one

# One queue, two storages.
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[storage office]
address = unix:$T/other.sock
connect_timeout = 500ms
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 2
[queue q]
password = pw
[topic q/log]
storage = main
pool = php
entry = $WORKERS/log.php
[topic q/a]
storage = office
pool = php
entry = $WORKERS/log.php
INI
start_broker b
push b q both >/dev/null
eventually 10 "lines handled.q.log; lines handled.q.a" $'1\n1' "a job for topics in two storages"
op b q/log pause >/dev/null
op b q/a pause >/dev/null
add() { AUTH=q:pw resp b ADDJOB q twice 0 ID order-7 2>&1; }
stop other
said=$(add)
like "$said" '^STORAGE .*office' "one of them is away: an error that names it"
like "$said" 'stored: 1 of 1 in main, 0 of 1 in office|nothing of this request was stored' "and says where the job is stored"
start_redis other
added() { said=$(add) && [[ $said == D-* ]]; }
ok "it is back: the same is added again" wait_until 20 added
eventually 5 "topic b q/log ready; topic b q/a ready" $'1\n1' "and stored once in each"
op b q/log resume >/dev/null
op b q/a resume >/dev/null
eventually 10 "lines handled.q.log; lines handled.q.a" $'2\n2' "and handled once by each topic"
done_testing
