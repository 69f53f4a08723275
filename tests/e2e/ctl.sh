#!/bin/bash
# pepperbusctl and the admin API against a real broker with a managed Redis and real php-fpm.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli curl php
[[ -x $PEPPERBUSCTL ]] || skip_all "$PEPPERBUSCTL is not built"

start_fpm fpm 4
configuration() {
  conf b <<CONF
[storage main]
managed = yes
[pool local]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 4
[pool nowhere]
run_type = cgi
address = unix:$T/nobody.sock
[queue q]
password = pw
[topic q/log]
pool = local
entry = $WORKERS/log.php
[topic q/fragile]
pool = local
entry = $WORKERS/fragile.php
attempts = 1
[topic q/wrong]
pool = local
entry = $WORKERS/wrong.php
[topic q/missing]
pool = local
entry = $T/nowhere.php
[topic q/away]
pool = nowhere
entry = $WORKERS/log.php
[queue big.one:x]
password = verysecret
max_length = 3
[topic big.one:x/slow:1.2]
pool = local
entry = $T/slow.php
timeout = 20s
$1
CONF
}
cat >"$T/slow.php" <<'PHP'
<?php
require getenv('T') . '/reply.php';
ping('big.one:x/slow:1.2');
note('asked', jobs()[0]['content']);
usleep((int) jobs()[0]['content'] * 1000);
reply(200, "\x1b[31mred\x07 slept");
PHP
cp "$WORKERS/reply.php" "$T/"
configuration ''
start_broker b
TOKEN=$T/b.state/admin.token

# Runs pepperbusctl for broker b; its words in $out, its complaints in $err, its code in $code.
run() {
  code=0
  ctl b "$@" >"$T/out" 2>"$T/err" </dev/null || code=$?
  out=$(<"$T/out") err=$(<"$T/err")
}
# status_of METHOD PATH [curl options]: the HTTP status alone
status_of() {
  local method=$1 path=$2
  shift 2
  curl -sS -o /dev/null -w '%{http_code}' -X "$method" "$@" "http://$(admin b)$path"
}

note "the token"
is "$(stat -c %a "$TOKEN")" 600 "the token's file is the broker's alone"
is "$(stat -c %a "$T/b.state/admin.sock")" 600 "so is the socket"
is "$(status_of GET /api/v1/status)" 401 "no answer without the token"
is "$(status_of GET /api/v1/nothing)" 401 "nor whether there is such a path"
is "$(status_of POST /api/v1/topics/q/log/purge -d '{"all":true}')" 401 "nothing is changed either"
is "$(status_of GET /api/v1/status -H 'Authorization: Bearer 0123')" 401 "a wrong token is none"
is "$(status_of GET /api/v1/status -H "Authorization: Basic $(<"$TOKEN")")" 401 "nor another scheme"
is "$(status_of GET /api/v1/status -H "Authorization: bearer  $(<"$TOKEN")")" 200 "the right one opens"
is "$(status_of GET /healthz)/$(status_of GET /readyz)/$(status_of GET /metrics)" 200/200/200 \
  "health and metrics need none"
is "$(status_of GET /api/v1/topics/q/log/ping -H "Authorization: Bearer $(<"$TOKEN")")" 405 \
  "what changes something is not a GET"
is "$(status_of PUT /api/v1/status -H "Authorization: Bearer $(<"$TOKEN")")" 405 "PUT is refused"
is "$(status_of GET "/api/v1/topics/q%2Flog/x" -H "Authorization: Bearer $(<"$TOKEN")")" 404 \
  "an encoded slash is part of a name"
is "$(status_of GET "/api/v1/topics/q%00/log" -H "Authorization: Bearer $(<"$TOKEN")")" 404 \
  "a NUL in a name is refused"
like "$(api b GET /api/v1/nothing)" '"error":".*","status":404' "errors are JSON"

note "looking"
run status
is "$code" 0 "status of a ready broker"
like "$out" 'node b.*ready' "it says so"
like "$out" 'fastcgi .*cgi .*loaded' "and names the transports"
is "$(ctl b status --json | json '$j["storages"][0]["state"]')" ready "--json: the storage's state"
run queue ls
like "$out" 'big.one:x +- .* 3 +main +slow:1.2' "queue ls: limit, storage, topics"
eventually 10 'topic_state b q/wrong' unregistered "a topic whose file registers another is seen"
eventually 10 'topic_state b q/log' open "one that is fine is open"
eventually 10 'topic_state b q/away' unreachable "one whose php-fpm is away is seen"
run topic ls
is "$code" 0 "topic ls"
like "$out" 'q/log +open +0 +0 +0 +0' "a topic's row"
like "$out" 'q/wrong +unregistered .*registers: other/topic' "why it hands out nothing"
is "$(ctl b topic ls --queue q --json | json 'count($j["topics"])')" 5 "topic ls --queue"
run topic ls --queue nope
is "$code" 4 "topic ls --queue of a queue that is not there"
like "$err" 'there is no queue "nope"' "says so"
run topic show big.one:x/slow:1.2
like "$out" 'entry = .*/slow.php' "topic show: the transport's options"
run node ls
like "$out" 'b \(this one\) +main .*alive' "node ls"
run plugin ls
like "$out" 'cgi +loaded' "plugin ls"
run top
like "$out" 'b ready.*TOPIC' "top prints once where there is no terminal"
is "$(grep -c $'\033' "$T/out" || :)" 0 "without a terminal there are no colours"
run config show
like "$out" 'password = \*{8}' "config show masks secrets"
everything=$(for p in status queues topics nodes config topics/q/log; do api b GET /api/v1/$p; done)
unlike "$everything" 'verysecret' "no answer holds a password"
unlike "$everything" "$(<"$TOKEN")" "or the token"

note "the worker"
run topic ping q/log
is "$code $(cut -d' ' -f1-2 <<<"$out")" "0 q/log: 200" "ping: 200"
run topic ping q/wrong
is "$code $(cut -d' ' -f1-2 <<<"$out")" "1 q/wrong: 404" "ping: 404 where the file registers another"
like "$err" 'register\(' "and says where to look"
run topic ping q/missing
is "$code $(cut -d' ' -f1-2 <<<"$out")" "1 q/missing: 500" "ping: 500 where the file is missing"
run topic ping q/away
is "$code $(cut -d' ' -f1-2 <<<"$out")" "1 q/away: 502" "ping: 502 where php-fpm is away"
run topic test q/log 'a test'
is "$code" 0 "test: 200"
like "$out" 'q/log: 200 in .*logged' "with the worker's message"
ok "the worker got the content" contains "$T/handled.q.log" ' a test$'
is "$(topic b q/log ready)/$(ctl b --json topic show q/log | json '$j["counters"]["attempts"]')" 0/0 \
  "a test is no job"
run topic test big.one:x/slow:1.2 5600
is "$code" 0 "a test may take longer than five seconds"
like "$out" 'red +slept' "control characters of a worker's message are taken out"
is "$(grep -c $'[\033\007]' "$T/out" || :)" 0 "all of them"
echo "broken on purpose" >"$T/broken"
run topic test q/fragile x
is "$code $(sed 's/ in .*: / /' <<<"$out")" "1 q/fragile: 500 broken on purpose (error code E42)" "test: 500 and why"

note "jobs"
run job add q one
is "$code" 0 "job add"
id=${out%% *}
like "$id" '^[0-9]{19,20}$' "it tells the id"
printf 'two\nlines' | ctl b job add q >/dev/null
printf '\xff\xfe\x00binary' >"$T/binary"
run job add q "@$T/binary"
is "$code" 0 "content from a file"
binary_id=${out%% *}
run job add q late --delay 1h
like "$out" 'not before 1h' "job add --delay"
eventually 10 'topic b q/fragile dead' 3 "three jobs died of the broken worker"
is "$(topic b q/fragile delayed)" 1 "one is delayed"
run job add q/log x
is "$code" 2 "jobs are added to queues"
run job add nope x
is "$code" 4 "an unknown queue is not found"
run job add q x --delay soon
is "$code" 2 "a delay that is none is refused"
for i in 1 2 3; do ctl b job add big.one:x 1 --delay 1h >/dev/null; done
run job add big.one:x 1
is "$code" 1 "a full queue takes no more"
like "$err" 'full.*max_length|max_length' "and says why"
is "$(api b POST /api/v1/queues/big.one%3Ax/jobs 1 | json '$j["status"]')" 429 "429 in the API"
code=0
head -c 9000000 /dev/zero >"$T/large"
run job add q "@$T/large"
is "$code" 1 "a job over max_job_size is refused"
like "$err" 'max_job_size is 8388608' "with the limit"
run id "$id"
like "$out" "id +$id" "id of a job"
disque=$(ctl b id "$id" --json | json '$j["disque_id"]')
is "$(ctl b id "$disque" --json | json '$j["id"]')" "$id" "id of its other form"
is "$(ctl b id "$id-2130706433-12017" --json | json '$j["gateway"]')" 127.0.0.1:12017 "id of a trace"
is "$(api b GET "/api/v1/ids/$id" | json '$j["disque_id"]')" "$disque" "the API tells the same"
run id 12x
is "$code" 2 "what is no id"

note "errors, retry queue, replay"
run topic errors q/fragile
like "$out" "$id +500 +b +broken on purpose" "topic errors: job, code, node, message"
is "$(ctl b topic errors q/fragile --count 1 --json | json 'count($j["errors"])')" 1 "errors --count"
run topic retry q/fragile
like "$out" "$id +dead +1 .* 500 +b +3 bytes +broken" "topic retry: state, attempts, code, node"
# On a terminal of 80 columns nothing is broken by its edge, and the messages are whole.
on_terminal() { # ARGS: pepperbusctl there
  python3 - "$PEPPERBUSCTL" -c "$T/b.ini" "$@" <<'PY'
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if not pid:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.environ["NO_COLOR"] = "1"
    os.execv(sys.argv[1], sys.argv[1:])
text = b""
try:
    while chunk := os.read(fd, 65536): text += chunk
except OSError: # its end has been closed
    pass
os.waitpid(pid, 0)
print(text.decode().replace("\r\n", "\n"), end="")
PY
}
for view in "topic ls --queue q" "topic errors q/fragile" "topic retry q/fragile" "pool ls" "queue ls" "plugin ls"; do
  is "$(on_terminal $view | awk 'length > 80')" "" "$view: 80 columns are enough"
done
like "$(on_terminal topic retry q/fragile | grep -A 1 "$id")" "$id +dead .*
    broken on purpose" "topic retry: the message below its row"
like "$out" '3 of 3' "and how many there are"
run topic retry q/fragile --set retry
like "$out" '0 of 0' "retry --set"
run topic retry q/fragile --count 1 --offset 1 --json
is "$(json 'count($j["jobs"])' <<<"$out")" 1 "retry --count --offset"
binary=$(ctl b topic retry q/fragile --json |
  json "implode(array_map(fn(\$job) => \$job['id'] == '$binary_id' ? \"\$job[encoding] \$job[content]\" : '', \$j['jobs']))")
is "$binary" "base64 $(base64 -w0 <"$T/binary")" "content that is not text is shown as base64"
run topic retry q/fragile --id "$id"
like "$out" 'content +3 bytes.one' "retry --id shows the content"
run topic retry q/fragile --id 1
is "$code" 4 "an id that is not there"
run topic replay q/fragile
is "$code" 2 "replay wants to know which"
run topic replay q/fragile --count 0
is "$code" 2 "count from 1 on"
run topic replay q/fragile --id 1
is "$code" 4 "replay of an id that is not there"
rm "$T/broken"
run topic replay q/fragile --id "$id"
like "$out" '1 job due' "replay --id"
eventually 10 'topic b q/fragile dead' 2 "one dead job less"
ok "the worker got it" wait_until 10 contains "$T/handled.q.fragile" "$id one"
run topic replay q/fragile --count 1
like "$out" '1 job due' "replay --count"
eventually 10 'topic b q/fragile retry' 0 "which runs"
run topic replay q/fragile --all --set retry
like "$out" '0 jobs' "replay --all of an empty set is no error"
run topic replay q/fragile --all
like "$out" '1 job due' "replay --all"
eventually 10 'topic b q/fragile dead' 0 "the retry queue is empty"
eventually 10 'topic b q/fragile done' 3 "all three are done"
echo again >"$T/broken"
push b q x y >/dev/null
eventually 10 'topic b q/fragile dead' 2 "two more died"
run topic purge q/fragile --all
is "$code" 2 "purge --all asks; where it cannot, it wants --yes"
is "$(topic b q/fragile dead)" 2 "and deletes nothing"
run topic purge q/fragile --count 1 --yes
is "$code" 2 "purge has no --count"
run topic purge q/fragile --id "$(ctl b topic retry q/fragile --json | json '$j["jobs"][0]["id"]')"
like "$out" '1 job deleted' "purge --id"
run topic purge q/fragile --all --yes
like "$out" '1 job deleted' "purge --all --yes"
run topic purge q/fragile --id "$id"
is "$code" 4 "purge of an id that is not there"
is "$(api b POST /api/v1/topics/q/fragile/purge '{}' | json '$j["status"]')" 400 "an empty body purges nothing"
is "$(api b POST /api/v1/topics/q/fragile/purge '{"all":true,"id":"1"}' | json '$j["status"]')" 400 \
  "nor does one that says two things"
is "$(api b POST /api/v1/topics/q/fragile/replay '{"alll":true}' | json '$j["status"]')" 400 \
  "a mistyped member is refused"
is "$(api b POST /api/v1/topics/q/fragile/replay '[' | json '$j["status"]')" 400 "so is what is no JSON"

note "pause"
eventually 10 'unfinished b q/log' 0 "q/log has done all"
run topic pause q/log
is "$code" 0 "topic pause"
eventually 10 'topic_state b q/log' paused "it is paused"
push b q waits >/dev/null
is "$(topic b q/log ready)" 1 "its jobs wait"
if command -v script >/dev/null; then
  mkfifo "$T/keys"
  (cd "$T" && TERM=xterm exec timeout 60 script -qec \
    "stty cols 120 rows 40; $PEPPERBUSCTL -c $T/b.ini top; echo ended with \$?" /dev/null \
    <"$T/keys" >"$T/screen" 2>&1) &
  PID[terminal]=$!
  exec 9>"$T/keys"
  ok "top on a terminal: the paused topic is shown" wait_until 10 contains "$T/screen" 'q/log +.*paused'
  drawn() { grep -o $'\033\[H' "$T/screen" | wc -l; }
  drawn_again() { (($(drawn) >= $1 + 2)); }
  ok "it is drawn again and again" wait_until 10 drawn_again "$(drawn)"
  run topic pause q/fragile
  ok "with what has changed" wait_until 10 contains "$T/screen" 'q/fragile +.*paused'
  run topic resume q/fragile
  printf q >&9
  ok "q ends it" wait_until 10 contains "$T/screen" 'ended with 0'
  like "$(tr -d '\r' <"$T/screen" | tail -n 2)" $'\033\\[\\?1049l' "and gives the screen back"
  exec 9>&-
  wait "${PID[terminal]}" || :
  unset 'PID[terminal]'
else
  skip "top on a terminal" "script(1) is not installed"
fi
run topic resume q/log
eventually 10 'topic_state b q/log' open "topic resume"
ok "then they run" wait_until 10 contains "$T/handled.q.log" ' waits$'

note "arguments and exit codes"
run
is "$code" 2 "no verb"
run --help
is "$code" 0 "--help"
for verb in status 'topic replay' 'job add' passwd 'config check'; do
  like "$out" "$verb" "--help has $verb"
done
run topic png q/log
is "$code" 2 "a verb that is none"
like "$err" 'did you mean ping' "with a guess"
run topic ping q/lgo
is "$code" 4 "a topic that is none"
like "$err" 'did you mean "q/log"' "with a guess"
run topic ping log
is "$code" 2 "a topic without its queue"
run topic ls --id 1
is "$code" 2 "an option of another verb"
run topic ls too many
is "$code" 2 "too many arguments"
pepperbusctl() {
  code=0
  "$PEPPERBUSCTL" "$@" >"$T/out" 2>"$T/err" </dev/null || code=$?
  out=$(<"$T/out") err=$(<"$T/err")
}
pepperbusctl -c "$T/nothing.ini" status
is "$code" 2 "a configuration that is not there"
like "$err" '-c FILE' "and what to do"
pepperbusctl -H "$(admin b)" status
is "$code" 5 "-H without a token"
PEPPERBUS_TOKEN=wrong pepperbusctl -H "$(admin b)" status
is "$code" 5 "-H with a wrong one"
unlike "$err" 'wrong' "which is not repeated"
PEPPERBUS_TOKEN=$(<"$TOKEN") pepperbusctl -H "$(admin b)" queue ls
is "$code" 0 "the token by the environment"
pepperbusctl -H "unix:$T/b.state/admin.sock" --token-file "$TOKEN" queue ls
is "$code" 0 "a unix socket, the token by a file"
pepperbusctl -H 127.0.0.1:1 --token-file "$TOKEN" status
is "$code" 3 "nobody listens"
like "$err" 'is pepperbusd running' "and what to look at"
http_proxy=http://127.0.0.1:1 pepperbusctl -H "$(admin b)" --token-file "$TOKEN" queue ls
is "$code" 0 "proxies of the environment are not asked"

note "passwords"
hash=$(printf 'a pass:word\n' | ctl b passwd)
like "$hash" '^sha256:[^:]+:[0-9a-f]{64}$' "passwd"
salt=$(cut -d: -f2 <<<"$hash")
is "$(printf '%s' "${salt}a pass:word" | sha256sum | cut -d' ' -f1)" "$(cut -d: -f3 <<<"$hash")" \
  "it is the password's"
like "$(printf 'secret\n' | ctl b passwd --user)" '^\$y\$' "passwd --user"
run passwd
is "$code" 2 "an empty password is none"
# @case X1: passwd --generate prints a password that cannot be guessed, and its hash
{ read -r made; read -r hash; } < <(ctl b passwd --generate)
like "$made" '^[a-z0-9]{24}$' "passwd --generate"
is "$(printf '%s' "$(cut -d: -f2 <<<"$hash")$made" | sha256sum | cut -d' ' -f1)" "$(cut -d: -f3 <<<"$hash")" \
  "and its hash"
unlike "$(ctl b passwd --generate | head -n 1)" "^$made\$" "another one each time"

note "configuration"
run config check
is "$code" 0 "config check of a sound file"
configuration 'nonsense = 1'
run config check
is "$code" 2 "config check of a bad one"
like "$err" 'b.ini:[0-9]+: .*nonsense' "names file and line"
run config reload
is "$code" 2 "config reload of a bad one"
like "$err" 'b.ini:[0-9]+: .*nonsense' "names file and line too"
is "$(ctl b --json topic show big.one:x/slow:1.2 | json '$j["workers"]')" 10 "nothing has changed"
configuration 'workers = 3'
run config reload
is "$code" 0 "config reload of a sound one"
is "$(ctl b --json topic show big.one:x/slow:1.2 | json '$j["workers"]')" 3 "it is in force"
sed -i '/^\[topic q\/away\]/,/^entry/d' "$T/b.ini"
run config reload
is "$code" 0 "a topic is taken out"
run topic ping q/away
is "$code" 4 "it is gone"
stop b
start_broker b
run topic stray q
like "$out" 'q/away +main' "topic stray shows what it left"
run topic drop q/away
is "$code" 2 "topic drop asks"
run topic drop q/log --yes
is "$code" 1 "a configured topic is not dropped"
run topic drop q/away --yes
is "$code" 0 "topic drop"
run topic stray q --json
is "$(json 'count($j["stray"])' <<<"$out")" 0 "nothing is left of it"
old=$(admin b)
free_port >"$T/b.admin"
configuration ''
sed -i '/^\[topic q\/away\]/,/^entry/d' "$T/b.ini"
code=0
curl -sS -X POST -H "Authorization: Bearer $(<"$TOKEN")" "http://$old/api/v1/reload" >"$T/out" || code=$?
is "$code $(json '$j["reloaded"]' <"$T/out")" "0 true" "the admin address can change by a reload through it"
is "$(status_of GET /readyz)" 200 "the new address answers"
ok "the old one does not" wait_until 5 eval "! port_open ${old##*:}"

note "clients that go away, and the end"
curl -sS -m 0.5 -o /dev/null -X POST -d 2000 -H "Authorization: Bearer $(<"$TOKEN")" \
  "http://$(admin b)/api/v1/topics/big.one%3Ax/slow%3A1.2/test" 2>/dev/null || :
run topic test big.one:x/slow:1.2 2000
is "$code" 0 "a client that went away while its test ran harms nobody"
is "$(status_of GET /healthz -H "X: $(head -c 40000 /dev/zero | tr '\0' x)" || :)" 400 \
  "headers over the limit are refused"
before=$(<"$TOKEN")
curl -sS -X POST -d 8000 -H "Authorization: Bearer $(<"$TOKEN")" \
  "http://$(admin b)/api/v1/topics/big.one%3Ax/slow%3A1.2/test" >"$T/held" 2>&1 &
PID[held]=$!
ok "a test is on its way" wait_until 5 contains "$T/asked" '^8000$'
stop b
wait "${PID[held]}" || :
unset 'PID[held]'
like "$(<"$T/held")" '"(code|status)":(200|503)' "a test that runs at the end is answered"
ok "the socket is gone with the broker" test ! -e "$T/b.state/admin.sock"
unlike "$(<"$T/b.log")" "$before|verysecret|AddressSanitizer|runtime error" "the log holds no secret"
run status
is "$code" 3 "a broker that has ended is not reached"
start_broker b
is "$(<"$TOKEN")" "$before" "the token is kept over restarts"
chmod 644 "$TOKEN"
stop b KILL
start_broker b
is "$(stat -c %a "$TOKEN")" 600 "a token that others could read is replaced"
ok "by another" test "$(<"$TOKEN")" != "$before"
run status
is "$code" 0 "the socket of a killed broker is not in the way"
stop b
unlike "$(<"$T/b.log")" "AddressSanitizer|runtime error" "the broker ended cleanly"
done_testing
