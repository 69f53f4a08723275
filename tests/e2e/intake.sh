#!/usr/bin/env bash
# What a producer sees: replies, errors, and that a job is in Redis before the reply is sent.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli

start_redis redis
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/nobody.sock
[queue q]
password = pw
[topic q/log]
pool = php
entry = $WORKERS/log.php
[queue small]
password = with:colon:in it
max_length = 3
[topic small/log]
pool = php
entry = $WORKERS/log.php
[queue hashed]
password = sha256:salt:$(printf 'saltpw' | sha256sum | cut -d' ' -f1)
[topic hashed/log]
pool = php
entry = $WORKERS/log.php
INI
start_broker b

xlen() { redis redis xlen "pb:{$1}:s"; }

shape='^\{"jobs":\["[0-9]{19,20}"\],"inTraceId":"[0-9]{19,20}-[0-9]+-[0-9]+","error":""\}$'
like "$(push b q one)" "$shape" "LPUSH answers with id and trace, members in order"
is "$(xlen q)" 1 "the job is in Redis when the reply is there"
like "$(AUTH=q:pw resp b LPUSH q/anything two)" "$shape" "LPUSH queue/anything is the queue"
like "$(AUTH=q:pw resp b rpush q three)" "$shape" "RPUSH too, in lower case"
is "$(push_ids b q a b c d e | sort -u | wc -l)" 5 "five jobs in one command have five ids"
is "$(xlen q)" 8 "and all are stored"

like "$(resp b PING)" "^NOAUTH Authentication required" "PING without AUTH"
like "$(resp b AUTH q:wrong 2>&1)" "invalid password" "a wrong password"
ok "the log has it" contains "$T/b.log" "warning: clients: .* gave a wrong password"
unlike "$(<"$T/b.log")" "q:wrong" "and not what was sent"
like "$(resp b LPUSH q x)" '^\{"jobs":null,"inTraceId":".*","error":"NOAUTH Authentication required\."\}$' \
  "LPUSH without AUTH answers in LPUSH's form"
like "$(AUTH=q:pw resp b LPUSH nosuch x)" '"error":"(queue or Topic not exist nosuch|NOAUTH.*)"' "an unknown queue"
like "$(AUTH=q:pw resp b FLUSHALL)" "^ERR unknown command 'FLUSHALL'" "an unknown command"
is "$(AUTH='small:with:colon:in it' resp b PING)" PONG "a password with colons and spaces"
is "$(AUTH=hashed:pw resp b PING)" PONG "a hashed password"
like "$(AUTH=hashed:no resp b PING 2>&1)" "invalid password|NOAUTH" "a hashed password refuses another"

# One connection, several queues; a failed AUTH takes nothing away.
out=$(printf 'AUTH q:pw\r\nAUTH hashed:pw\r\nAUTH q:no\r\nLPUSH q 1\r\nLPUSH hashed 2\r\nPING\r\n' |
  timeout 60 redis-cli -s "$T/b.bus" 2>&1)
is "$(grep -c '"error":""\|error\\":\\"\\"' <<<"$out")" 2 "one connection adds to two queues after a failed AUTH"

# Exactly one reply to a command that fails: the next one is still in step.
out=$(printf 'AUTH q:pw\r\nLPUSH q\r\nPING\r\nLPUSH nosuch x\r\nECHO end\r\n' | timeout 60 redis-cli -s "$T/b.bus" 2>&1)
is "$(wc -l <<<"$out")" 5 "five commands, five replies"
is "$(sed -n 3p <<<"$out") $(sed -n 5p <<<"$out")" "PONG end" "in order"

# Disque's form of the same.
id=$(AUTH=q:pw resp b ADDJOB q content 1000)
like "$id" '^D-[0-9a-f]{8,}-' "ADDJOB answers with an id of Disque's form"
is "${#id}" 40 "of 40 characters"
before=$(xlen q)
AUTH=q:pw resp b ADDJOB q tomorrow 1000 DELAY 86400 >/dev/null
is "$(xlen q)" "$before" "a delayed job is not in the stream yet"
added=$(now_ms)
AUTH=q:pw resp b ADDJOB q soon 1000 DELAY 2 >/dev/null
eventually 5 "xlen q" $((before + 1)) "one enters it when its time has come"
entry=$(redis redis --raw xrevrange 'pb:{q}:s' + - count 1)
like "$entry" 'soon' "the one whose time it is"
ok "and not before" test "${entry%%-*}" -ge $((added + 1950))

add() { AUTH=q:pw resp b ADDJOB q "$@" 2>&1; }
first=$(add once 0 ID shop-7:order-1) before=$(xlen q)
is "$(add again 0 ID shop-7:order-1)" "$first" "ID: adding again answers the id of the first"
is "$(xlen q)" "$before" "and stores nothing"
like "$(add x 0 MAXLEN 1)" '^FULL .*MAXLEN|^FULL .*full' "MAXLEN: the queue has more than that"
is "$(xlen q)" "$before" "and is not stored"
like "$(add x 0 MAXLEN 1000)" '^D-' "MAXLEN: it has not"
start_redis replica --replicaof 127.0.0.1 "$(redis_port redis)"
has_replica() { redis redis info replication | grep -q 'state=online'; }
ok "a replica" wait_until 20 has_replica
like "$(add x 30000 REPLICATE 2)" '^D-' "REPLICATE 2: it has the job"
is "$(redis replica xlen 'pb:{q}:s')" "$(xlen q)" "when the answer is there"
like "$(add x 8000 REPLICATE 3)" '^STORAGE .*1 of 2' "REPLICATE 3: there is one only, and the answer says so"
stop replica

# A full queue says so, and takes jobs again when it is not.
sm() { redis-cli --no-auth-warning -s "$T/b.bus" -a 'small:with:colon:in it' LPUSH small "$@"; }
sm 1 >/dev/null; sm 2 >/dev/null; sm 3 >/dev/null
like "$(sm 4)" '"jobs":null.*"error":".*(full|max_length)' "the fourth of three is refused with a reason"
is "$(xlen small)" 3 "and not stored"

# Bytes are bytes.
printf 'a\0b\r\n\xff\xfe"\\' >"$T/bytes"
redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw -x LPUSH q <"$T/bytes" >/dev/null
is "$(redis redis --no-raw xrevrange 'pb:{q}:s' + - count 1 | grep -cF 'a\x00b\r\n\xff\xfe\"\\')" 1 \
  "binary content is stored byte for byte"

# Redis gone: an error, not a lie; back: success again, and nothing that was acknowledged is missing.
stored=$(xlen q)
stop redis
like "$(push b q lost)" '"jobs":null.*"error":"[^"]+' "no Redis: the producer hears of it"
start_redis redis
ok "after Redis is back" wait_until 10 bash -c "
  redis-cli --no-auth-warning -s '$T/b.bus' -a q:pw LPUSH q back | grep -q '\"error\":\"\"'"
ok "everything acknowledged before is there" test "$(xlen q)" -gt "$stored"

# Ids of two connections at the same time are all different.
for i in 1 2 3 4; do
  (for _ in {1..50}; do echo "LPUSH q x y"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a q:pw \
    >"$T/ids.$i" 2>&1) &
  bg[i]=$!
done
wait "${bg[@]}"
is "$(grep -ohE '[0-9]{19,20}\\?"[],]' "$T"/ids.[1-4] | sort -u | wc -l)" 400 "400 jobs of 4 producers have 400 ids"

like "$(AUTH=q:pw resp b INFO)" 'pepperbus_version|redis_version' "INFO"
done_testing
