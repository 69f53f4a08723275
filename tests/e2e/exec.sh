#!/usr/bin/env bash
# Commands as workers, with the broker: one process for each request, processes that stay, pull
# workers; what becomes of them at deadlines, reloads, stops and kills.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
EXAMPLES=$ROOT/examples/exec
mkdir -p "$T/bin"
script() { # NAME, its text on standard input
  { echo '#!/bin/sh'; cat; } >"$T/bin/$1"
  chmod +x "$T/bin/$1"
}
script once <<'SH'
job=$(cat)
case $job in
*good*) echo "$PEPPERBUS_JOB_ID $PEPPERBUS_ATTEMPT" >>"$T/once"; echo done ;;
*bad*) echo "cannot do it" >&2; exit 65 ;;
*dead*) kill -9 $$ ;;
*hang*) echo $$ >>"$T/hang"; (trap '' TERM; sleep 300) & wait ;;
*flood*) yes flood | head -c 3000000; exit 1 ;;
esac
SH
script resident <<'SH'
echo $$ >>"$T/resident.pids"
while read -r line; do
  case $line in
  *'"type":"ping"'*) echo '{"code":200,"topics":["r/stay"]}'; continue ;;
  *die*) kill -9 $$ ;;
  *slow*) echo $$ >>"$T/slow"; sleep 1 ;;
  *hang*) sleep 300 ;;
  esac
  echo $$ >>"$T/resident"
  echo '{"code":200,"msg":"said"}'
done
echo $$ >>"$T/resident.eof"
SH
script forks <<'SH'
while read -r line; do :; done
for i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done
wait
SH

alive() { # FILE of process ids, PATTERN of their command lines: a number may be another's by now
  ps -o args= -p "$(paste -sd, "$1")" | grep -cE -- "$2" || true
}
many_alive() { alive "$T/many" "$T/bin/many|^sleep 300\$"; }
pull_alive() { alive "$T/pull.pids" "$T/pull.php"; }
resident_alive() { alive "$T/resident.pids" "$T/bin/resident"; }
base() {
  cat <<INI
[storage main]
address = unix:$T/redis.sock
[queue o]
password = pw
[topic o/once]
run_type = exec
entry = $T/bin/once
env = T=$T
workers = 4
attempts = 2
backoff = 10ms
timeout = ${ONCE:-20s}
kill_after = 200ms
[queue r]
password = pw
[topic r/stay]
run_type = exec
resident = yes
entry = $T/bin/resident
env = T=$T
workers = 3
attempts = 1
timeout = ${TIMEOUT:-20s}
kill_after = 20s
${STAY:-}
INI
}
base | conf b
start_broker b
eventually 10 "topic_state b o/once" open "a command opens its topic"
eventually 10 "topic_state b r/stay" open "a resident one too"

# --- one process for each request ---

push b o good good good >/dev/null
eventually 10 "topic b o/once done" 3 "three jobs, three processes"
is "$(cut -d' ' -f2 "$T/once" | sort -u)" 1 "each in its first attempt"
is "$(cut -d' ' -f1 "$T/once" | sort -u | wc -l)" 3 "with its job's id"
push b o bad >/dev/null
eventually 10 "topic b o/once dead" 1 "exit code 65: a failed attempt, twice"
like "$(op b o/once errors)" "exit code 65: cannot do it" "with standard error"
push b o dead >/dev/null
eventually 10 "topic b o/once dead" 2 "killed by a signal: the same"
like "$(op b o/once errors)" "signal 9.*whether the job was done is not known" "and said to be unknown"
push b o flood >/dev/null
eventually 20 "topic b o/once dead" 3 "a flood of output is an error like another"
like "$(op b o/once test '{"content":"good"}')" '"code":200,"message":"done"' "test: the message"
like "$(op b o/once test '{"content":"bad"}')" '"code":500,"message":"[^"]*cannot do it' "test: the error"

# The deadline: the process and its family.
ONCE=3s base | conf b
kill -HUP "${PID[b]}"
eventually 10 "topic b o/once timeout_ms" 3000 "a shorter timeout"
eventually 10 "topic_state b o/once" open "open"
push b o hang >/dev/null
eventually 20 "topic b o/once dead" 4 "a job that hangs fails at its deadline, twice"
none_left() { local p; for p in $(cat "$1"); do [[ -z $(ps -o pid= -g "$p" 2>/dev/null) ]] || return 1; done; }
ok "nothing of it is left, nor of what it started" wait_until 10 none_left "$T/hang"

# More at once than are started within their deadline: those that wait are cancelled, those that
# start just then are killed; then a stop in the midst of starts.
script many <<'SH'
echo $$ >>"$T/many"
case $(cat) in *quick*) exit 0 ;; esac
exec sleep 300
SH
many_ini() { # TIMEOUT
  base
  printf '[queue m]\npassword = pw\n[topic m/many]\nrun_type = exec\nentry = %s\nenv = T=%s\nworkers = 300\n' "$T/bin/many" "$T"
  printf 'attempts = 1\ntimeout = %s\nkill_after = 200ms\n' "$1"
}
metric() { curl -s -H "Authorization: Bearer $(<"$T/b.state/admin.token")" "http://$(admin b)/metrics" | grep -F "$1" | cut -d' ' -f2; }
many_ini 10ms | conf b
kill -HUP "${PID[b]}"
eventually 10 "topic_state b m/many" open "a topic of 300 at a time"
op b m/many pause >/dev/null
for i in {1..300}; do echo "LPUSH m job$i"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a m:pw >/dev/null
op b m/many resume >/dev/null
eventually 20 "topic b m/many dead" 300 "300 jobs fail at a deadline of 10 ms"
eventually 10 "metric 'exec_processes{queue=\"m\"'" 0 "no process of theirs is left"
ok "fewer were started than asked for" test "$(metric 'exec_spawned_total{queue="m"')" -lt 300
many_ini 60s | SERVER='drain_timeout = 1s' conf b
kill -HUP "${PID[b]}"
eventually 10 "topic b m/many timeout_ms" 60000 "a deadline that is long enough"
eventually 10 "topic_state b m/many" open "open"
for i in {1..300}; do echo "LPUSH m quick$i"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a m:pw >/dev/null
eventually 30 "topic b m/many done" 300 "300 jobs by 300 processes"
for i in {1..300}; do echo "LPUSH m job$i"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a m:pw >/dev/null
stop b
is "$STOP_STATUS" 0 "stopped in the midst of starts"
eventually 10 many_alive 0 "and nobody is left"
rm -f "$T/resident.pids" "$T/resident.eof" # the next broker has its own
many_ini 500ms | conf b
start_broker b
eventually 20 "topic b m/many dead" 600 "what ran or waited is there after the restart"
eventually 10 many_alive 0 "and is killed at its deadline"

# --- processes that stay ---

eventually 10 "wc -l <$T/resident.pids" 3 "three processes"
for i in {1..200}; do echo "LPUSH r job$i"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a r:pw >/dev/null
eventually 10 "topic b r/stay done" 200 "200 jobs"
is "$(wc -l <"$T/resident.pids")" 3 "by the same three"
is "$(resident_alive)" 3 "which are alive"
push b r die >/dev/null
eventually 10 "topic b r/stay dead" 1 "one that kills its process is dead"
like "$(op b r/stay errors)" "signal 9.*whether it was done is not known" "and says how"
eventually 10 "wc -l <$T/resident.pids" 4 "the process is replaced"
pid=$(tail -1 "$T/resident.pids")
kill -9 "$pid"
eventually 10 "wc -l <$T/resident.pids" 5 "an idle one that is killed too"
push b r again >/dev/null
eventually 10 "topic b r/stay done" 201 "work goes on"
is "$(topic b r/stay dead)" 1 "and no job was lost by it"
three_up() { api b GET /api/v1/topics/r/stay | grep -F '3 of 3 processes up' >"$T/up"; }
ok "health tells" wait_until 10 three_up
like "$(ctl b topic show r/stay)" "health +3 of 3 processes up" "in pepperbusctl too"
like "$(curl -s -H "Authorization: Bearer $(<"$T/b.state/admin.token")" "http://$(admin b)/metrics")" \
  'pepperbus_exec_restarts_total\{queue="r",topic="stay"\} 2' "two restarts in /metrics"

# A reload drains them: the request ends, then they see the end of their input.
push b r slow >/dev/null
ok "a slow job runs" wait_until 5 test -s "$T/slow"
STAY='max_requests = 5' base | conf b
kill -HUP "${PID[b]}"
eventually 10 "topic b r/stay done" 202 "it ends though its topic was changed"
eventually 10 "wc -l <$T/resident.eof" 3 "the old processes ended by themselves"
eventually 10 "topic_state b r/stay" open "new ones took over"
for i in {1..60}; do echo "LPUSH r job$i"; done | redis-cli --no-auth-warning -s "$T/b.bus" -a r:pw >/dev/null
eventually 10 "topic b r/stay done" 262 "60 jobs"
ok "max_requests = 5: by twelve processes or more" test "$(tail -60 "$T/resident" | sort -u | wc -l)" -ge 12

# The deadline of a resident one.
TIMEOUT=5s base | conf b
kill -HUP "${PID[b]}"
eventually 10 "topic b r/stay timeout_ms" 5000 "a shorter timeout"
eventually 10 "topic_state b r/stay" open "open"
push b r hang >/dev/null
eventually 10 "topic b r/stay dead" 2 "a request that hangs fails at its deadline"
push b r after >/dev/null
eventually 10 "topic b r/stay done" 263 "the next ones are served"

# --- files that are executable and that the kernel will not run ---

# A look must find what is wrong: else the topic opens and closes for ever.
printf '#!/bin/sh\r\necho\r\n' >"$T/bin/crlf"
printf '#!/nowhere/sh\necho\n' >"$T/bin/nowhere"
printf 'echo\n' >"$T/bin/text"
chmod +x "$T/bin/crlf" "$T/bin/nowhere" "$T/bin/text"
{
  base
  echo '[queue w]'
  echo 'password = pw'
  for w in crlf nowhere text .; do printf '[topic w/%s]\nrun_type = exec\nentry = %s\n' "${w/#./dir}" "$T/bin/$w"; done
} | conf b
kill -HUP "${PID[b]}"
for w in crlf nowhere text dir; do eventually 10 "topic_state b w/$w" unreachable "w/$w cannot be run"; done
push b w job >/dev/null
like "$(topic b w/crlf why)" 'interpreter /bin/sh: the line ends with a carriage return' "crlf: says why"
like "$(topic b w/nowhere why)" 'interpreter /nowhere/sh: No such file' "nowhere: says why"
like "$(topic b w/text why)" 'first line is not #!' "text: says why"
like "$(topic b w/dir why)" 'Is a directory' "dir: says why"
script nowhere <<<'cat >/dev/null'
eventually 10 "topic b w/nowhere done" 1 "mended: its job is done"
is "$(topic b w/text attempts)" 0 "no attempt of the others"
unlike "$(grep 'w/\(crlf\|text\)' "$T/b.log")" 'workers are back' "and nobody took them for mended"

# --- a thousand processes; producers are served in between ---

{ base; printf '[queue n]\npassword = pw\n[topic n/many]\nrun_type = exec\nworkers = 16\nentry = /bin/true\n'; } | conf b
kill -HUP "${PID[b]}"
eventually 10 "topic_state b n/many" open "a command that does nothing"
# Two producers, for one of them may stand still itself: after each PING, how many jobs are done.
start=$(now_ms)
served() {
  local n=0
  while ((n < 1000 && $(now_ms) < start + 30000 * PATIENCE)); do
    redis-cli --no-auth-warning -s "$T/b.bus" -a n:pw PING >/dev/null
    n=$(topic b n/many done)
    echo "$n"
  done
}
served >"$T/served.1" &
producer=$!
push b n $(seq 1000) >/dev/null
served >"$T/served.2"
wait "$producer"
most=$(sort -n "$T/served.1" "$T/served.2" | awk '$1 - was > most { most = $1 - was } { was = $1 } END { print most + 0 }')
note "1000 processes in $(($(now_ms) - start)) ms; at most $most of them between two PINGs"
is "$(topic b n/many done) $(topic b n/many failed)" "1000 0" "a thousand jobs, a thousand processes"
ok "and no producer waited for most of them" test "$most" -lt 500

# --- limits, user, secrets, descriptors ---

if ((EUID == 0)); then
  { base; printf '[queue f]\npassword = pw\n[topic f/bomb]\nrun_type = exec\nentry = %s\nuser = games\nlimit_processes = 5\nattempts = 1\ntimeout = 20s\nkill_after = 100ms\n' "$T/bin/forks"; } | conf b
  kill -HUP "${PID[b]}"
  eventually 10 "topic_state b f/bomb" open "a command of another user"
  push b f x >/dev/null
  eventually 15 "topic b f/bomb dead" 1 "its fork bomb ends at limit_processes or the deadline"
  like "$(op b f/bomb errors)" "[Ff]ork" "and says why"
else
  skip "a fork bomb of another user" "not root"
fi
script fds <<'SH'
ls -l /proc/self/fd | grep -c 'socket\|eventpoll\|anon_inode'
SH
secret=verysecret$$ # nobody else on this machine has it
echo "TOKEN=$secret" >"$T/env"
chmod 600 "$T/env"
{
  base
  printf '[queue s]\npassword = pw\n[topic s/fds]\nrun_type = exec\nentry = %s\n' "$T/bin/fds"
  printf '[topic s/secret]\nrun_type = exec\nenv_file = %s\nentry = sh -c "echo $TOKEN; ps axww -o args | grep -c verysec[r]et%d"\n' "$T/env" $$
} | conf b
kill -HUP "${PID[b]}"
eventually 10 "topic_state b s/secret" open "more topics"
like "$(op b s/fds test '{"content":"x"}')" '"message":"[^"]*exit code 1: 0' "a worker has none of the broker's descriptors"
like "$(op b s/secret test '{"content":"x"}')" "$secret" "a secret reaches the worker"
like "$(op b s/secret test '{"content":"x"}')" "exit code 1: $secret.n0" "and nobody sees it in ps"
unlike "$(api b GET /api/v1/topics/s/secret)" verysecret "nor in the API"

# A file that is not there: a reload refuses it, a start goes on without that topic, and a reload
# after it was put there opens it.
mv "$T/env" "$T/env.away"
kill -HUP "${PID[b]}"
ok "a reload without its env_file is refused" wait_until 10 contains "$T/b.log" "b\.ini:[0-9]+: .topic s/secret. env_file = .*: there is no file"
is "$(topic_state b s/secret)" open "and the old topic goes on"
stop b
is "$STOP_STATUS" 0 "a clean stop"
start_broker b
eventually 10 "topic_state b s/fds" open "a broker starts without it"
is "$(topic_state b s/secret)" broken "only its topic does not run"
like "$(api b GET /api/v1/topics/s/secret)" 'cannot read .*/env: No such file' "and says why"
mv "$T/env.away" "$T/env"
kill -HUP "${PID[b]}"
eventually 10 "topic_state b s/secret" open "a reload opens it when the file is there, though no key has changed"
printf '[queue q]\npassword = pw\n[topic q/t]\nrun_type = exec\nentry = /bin/true | cat\n' | { echo "[storage main]
address = unix:$T/redis.sock"; cat; } | conf bad
like "$("$PEPPERBUSD" -t -c "$T/bad.ini" 2>&1)" 'bad.ini:[0-9]+:.*needs a shell' "-t: file, line and what would be right"
printf '[queue q]\npassword = pw\n[topic q/t]\nrun_type = exec\nentry = /bin/true\nresident = yes\nping = yes\n' | { echo "[storage main]
address = unix:$T/redis.sock"; cat; } | conf bad
like "$("$PEPPERBUSD" -t -c "$T/bad.ini" 2>&1)" 'bad.ini:[0-9]+:.*always asked' "-t: keys that do not fit together"

printf '[queue q]\npassword = pw\n[topic q/t]\nrun_type = pull\nentry = /bin/true\nconnect = here\n' | { echo "[storage main]
address = unix:$T/redis.sock"; cat; } | conf bad
like "$("$PEPPERBUSD" -t -c "$T/bad.ini" 2>&1)" 'bad.ini:[0-9]+:.*no HOST:PORT' "-t: connect"
printf '[queue q]\npassword = pw\n[topic q/t]\nrun_type = exec\nentry = /bin/true\nuser = nosuchuser\n' | { echo "[storage main]
address = unix:$T/redis.sock"; cat; } | conf bad
like "$("$PEPPERBUSD" -t -c "$T/bad.ini" 2>&1)" 'bad.ini:[0-9]+: \[topic q/t\] user = nosuchuser: there is no user' "-t: a user that is not there"

# --- the examples, and the SDK ---

# --- pull workers that always die ---

die_ini() { # EXIT-CODE
  base
  printf '[queue d]\npassword = pw\n[topic d/pull]\nrun_type = pull\npull_password = pw\nworkers = 2\n'
  printf 'entry = sh -c "echo no such class; sleep %s; exit 7"\nrestart_backoff = 100ms..300ms\n' "$1"
}
die_ini 0.1 | conf b
kill -HUP "${PID[b]}"
eventually 20 "topic_state b d/pull" unreachable "pull workers that die are seen, though nobody asks"
like "$(api b GET /api/v1/topics/d/pull)" '"why": *"ended with exit code 7: no such class' "in their own words"
# A ping that fails with a long message is told once, not each time.
{
  base
  printf '[queue d]\npassword = pw\n[topic d/long]\nrun_type = exec\nping = yes\n'
  printf 'entry = sh -c "echo . >>%s/pings; printf %%0900d 7 >&2; exit 64"\n' "$T"
} | conf b
kill -HUP "${PID[b]}"
ok "a command that refuses its ping is asked again" wait_until 20 eval '(($(wc -l <"$T/pings") >= 4))'
is "$(grep -c "d/long: its worker does not take it" "$T/b.log")" 1 "and its message is logged once"
is "$(api b GET /api/v1/topics/d/long/errors | json 'count($j["errors"])')" 1 "and kept once"
die_ini 600 | conf b
kill -HUP "${PID[b]}"
eventually 20 "topic_state b d/pull" open "and when they are mended"

cat >"$T/sdk.php" <<PHP
<?php
require "$ROOT/sdk/php/autoload.php";
class Say {
    public function run(Pepper\\Bus\\Job \$job) {
        if (\$job->content === "two") { throw new RuntimeException("not two"); }
        echo "stray output\n";
        return "said \$job->content";
    }
}
PepperBus::getInstance()->register("x", "sdk", "Say", "run")->register("x", "sdkonce", "Say", "run")->do();
PHP
{
  base
  echo '[queue x]'
  echo 'password = pw'
  printf '[topic x/php]\nrun_type = exec\nresident = yes\nworkers = 2\nattempts = 1\nchunk = 4\nentry = php %s\n' "$EXAMPLES/worker.php"
  printf '[topic x/sdk]\nrun_type = exec\nresident = yes\nworkers = 2\nattempts = 1\nchunk = 4\nentry = php %s\n' "$T/sdk.php"
  printf '[topic x/sdkonce]\nrun_type = exec\nping = yes\nworkers = 2\nattempts = 1\nchunk = 4\nentry = php %s\n' "$T/sdk.php"
  if command -v python3 >/dev/null; then
    printf '[topic x/py]\nrun_type = exec\nresident = yes\nworkers = 2\nattempts = 1\nentry = python3 %s\n' "$EXAMPLES/worker.py"
  fi
  if command -v jq >/dev/null; then
    printf '[topic x/sh]\nrun_type = exec\nresident = yes\nworkers = 1\nattempts = 1\nenv = OUT=%s\nentry = %s\n' "$T/sh.out" "$EXAMPLES/worker.sh"
  fi
} | conf b
kill -HUP "${PID[b]}"
for t in php sdk sdkonce; do eventually 10 "topic_state b x/$t" open "x/$t opens"; done
push b x one two "" three >/dev/null
eventually 10 "topic b x/php done" 3 "worker.php: three jobs of a chunk are done"
eventually 10 "topic b x/php dead" 1 "and the one that failed is dead alone"
for t in sdk sdkonce; do
  eventually 10 "topic b x/$t done" 3 "$t: the SDK, three done"
  eventually 10 "topic b x/$t dead" 1 "and one failed"
  like "$(op b x/$t errors)" "not two" "with its exception"
done
ok "what handlers print is in the log" wait_until 10 contains "$T/b.log" "x/sdk: process [0-9]+: stray output"
if command -v python3 >/dev/null; then
  eventually 10 "topic b x/py done" 4 "worker.py: four jobs"
else
  skip "worker.py" "python3 is not installed"
fi
if command -v jq >/dev/null; then
  eventually 10 "topic b x/sh done" 4 "worker.sh: four jobs"
  is "$(sort "$T/sh.out" | tr '\n' ' ')" " one three two " "written as they came"
else
  skip "worker.sh" "jq is not installed"
fi

# --- pull workers ---

cat >"$T/pull.php" <<PHP
<?php
require "$ROOT/sdk/php/autoload.php";
class Handler {
    public function run(Pepper\\Bus\\Job \$job) { file_put_contents("$T/pulled", \$job->content . "\n", FILE_APPEND); }
}
file_put_contents("$T/pull.pids", getmypid() . "\n", FILE_APPEND);
echo "pull worker is here\n";
exit((new Pepper\\Bus\\PepperBusWorker())->run());
PHP
pull_ini() {
  base
  echo '[queue p]'
  echo 'password = secretpw'
  printf '[topic p/pull]\nrun_type = pull\nworkers = 2\nentry = php %s -q %%q -t %%t -h %%h -p %%p -H Handler::run\n' "$T/pull.php"
  printf 'pull_password = secretpw\nkill_after = 2s\n' # connect is the server's listen
}
if php -r 'exit(extension_loaded("redis") ? 0 : 1);'; then
  pull_ini | conf b
  kill -HUP "${PID[b]}"
  eventually 10 "topic_state b p/pull" open "a pull topic opens"
  AUTH=p:secretpw resp b LPUSH p one two three >/dev/null
  eventually 10 "sort $T/pulled | tr '\n' ' '" "one three two " "its workers took the jobs themselves"
  is "$(topic b p/pull attempts)" 0 "the broker sent none"
  ok "what they print is in the log" wait_until 10 contains "$T/b.log" "p/pull: process [0-9]+: pull worker is here"
  eventually 10 "wc -l <$T/pull.pids" 2 "two processes"
  command_lines() { for p in $(at_home); do tr '\0' ' ' <"/proc/$p/cmdline" || :; done; }
  like "$(command_lines)" "$T/pull.php -q" "the broker's processes are seen"
  unlike "$(command_lines)" secretpw "the password is on no command line"
  unlike "$(cat "$T/b.log")" secretpw "and in no log"
  kill -9 "$(head -1 "$T/pull.pids")"
  eventually 10 "wc -l <$T/pull.pids" 3 "one that is killed is replaced"
  free_port >"$T/b.listen"
  pull_ini | conf b
  kill -HUP "${PID[b]}"
  eventually 10 "wc -l <$T/pull.pids" 5 "they are started anew where listen changes"
  ok "producers find the new port" wait_until 10 eval 'AUTH=p:secretpw resp b LPUSH p moved | grep -q jobs'
  eventually 10 "tail -n 1 $T/pulled" moved "and so do they"
  eventually 10 pull_alive 2 "the others are gone"
  # The first Pepperbus' own command line, password and all; the broker warns of that.
  {
    pull_ini
    printf '[queue old]\npassword = oldpw\n[topic old/pull]\nrun_type = pull\nworkers = 1\n'
    printf 'entry = php %s -q %%q -h %%h -p %%p -a %%a -t %%t -H Handler::run\n' "$T/pull.php"
    printf 'connect = 127.0.0.1:%s\npull_password = oldpw\nkill_after = 2s\n' "$(port b)"
  } | conf b
  kill -HUP "${PID[b]}"
  eventually 10 "topic_state b old/pull" open "-q -h -p -a -t -H opens"
  AUTH=old:oldpw resp b LPUSH old four >/dev/null
  eventually 10 "tail -1 $T/pulled" four "and takes its job"
  ok "with a warning in the log" contains "$T/b.log" "old/pull: entry has %a"
  unlike "$(cat "$T/b.log") $("$PEPPERBUSD" -c "$T/b.ini" --dump-config)" oldpw "which does not tell it"
  pull_ini | conf b
  kill -HUP "${PID[b]}"
  eventually 10 pull_alive 2 "back to two"
  like "$(op b p/pull test '{"content":"x"}')" "take their jobs themselves" "a test is refused with a sentence"
  before=$(wc -l <"$T/pull.pids")
  stop b KILL
  STOP_STATUS=0
  eventually 10 pull_alive 0 "kill -9 of the broker: no pull worker is orphaned"
  start_broker b
  eventually 10 "wc -l <$T/pull.pids" $((before + 2)) "the next broker starts its own"
  stop b
  is "$STOP_STATUS" 0 "a clean stop"
  is "$(pull_alive)" 0 "leaves no pull worker"
else
  skip "pull workers" "PHP's redis extension is not installed"
  stop b
fi
is "$(resident_alive)" 0 "and no resident process"
done_testing
