#!/bin/bash
# scripts/quickstart with the programs that are built already: what it shows, that two at the same
# time do not meet, that it ends on a signal, and that nothing is left behind.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php curl setsid
[[ $FPM_BIN ]] || skip_all "php-fpm is not installed"
php -r 'exit(extension_loaded("redis") ? 0 : 1);' || skip_all "PHP's redis extension is not installed"
for program in "$PEPPERBUSD" "$PEPPERBUSCTL"; do
  [[ -x $program ]] || skip_all "$program is not built"
done
command -v dpkg-query >/dev/null && ! "$ROOT/scripts/install-deps" --check run >/dev/null &&
  skip_all "packages are missing that scripts/quickstart would install"
export PEPPERBUSD PEPPERBUSCTL PEPPERBUS_PLUGIN_DIR

# start NAME [arguments]: with a folder of its own for what it makes; its words in $T/NAME.log
start() {
  local name=$1
  shift
  mkdir -p "$T/$name"
  TMPDIR=$T/$name "$ROOT/scripts/quickstart" "$@" >"$T/$name.log" 2>&1 </dev/null &
  PID[$name]=$!
}
# ended NAME: waits for it; its exit code in $code
ended() {
  code=0
  wait "${PID[$1]}" || code=$?
  unset "PID[$1]"
}
# Processes that are at home in a run's folder, or have it in their arguments.
left() {
  { find /proc -maxdepth 2 -path '/proc/[0-9]*/cwd' -lname "$T/$1/*" -printf '%h\n'
    grep -lsF -f <(echo "$T/$1/") /proc/[0-9]*/cmdline; } 2>/dev/null | tr '\n' ' ' || :
}
clean() {
  is "$(left "$1")" "" "$1: no process is left"
  is "$(ls -A "$T/$1")" "" "$1: no file is left"
}

note "two at the same time"
start one --once
start two --once
for name in one two; do
  ended "$name"
  is "$code" 0 "$name: exit code"
  out=$(<"$T/$name.log")
  like "$out" 'added job [0-9]+ to hello' "$name: the producer's line"
  like "$out" 'HelloWorker: job [0-9]+, attempt 1' "$name: a worker's line"
  like "$out" '500 +quickstart +RuntimeException: the worker is broken' "$name: why the worker failed"
  like "$out" '2 jobs due at once' "$name: the replay"
  is "$(grep -c 'FragileWorker: job .*broken worker' "$T/$name.log")" 2 "$name: the replayed jobs were handled"
  like "${out##*replay hello/fragile}" 'hello/fragile +open +0 +0 +0 +0' "$name: it is drained"
  like "$out" 'It works' "$name: the end"
  unlike "$out" $'\e' "$name: no colours where there is no terminal"
  unlike "$out" 'Building|Preparing' "$name: nothing was built"
  clean "$name"
done

note "staying up"
start stays
ok "it shows what to try next" wait_until 60 contains "$T/stays.log" 'Ctrl-C ends everything'
# The printed commands are meant to be copied, so they must work as they stand.
try() { # pattern "name" want
  local line
  line=$(grep -m1 -E -- "$1" "$T/stays.log") || line=false
  like "$(eval "$line" 2>&1 </dev/null || :)" "$3" "$2"
}
try 'pepperbusctl.* status$' "status" 'quickstart'
try 'pepperbusctl.* top$' "top" 'hello/fragile'
try '^ +PEPPERBUS_PORT=' "the producer" 'added job'
try '^ +redis-cli' "redis-cli" '[0-9]{19}|"jobs"'
ok "what the workers do is shown" wait_until 20 contains "$T/stays.log" 'HelloWorker: job .*my first job'
try 'topic test' "topic test" ' 200 '
try '^ +touch' "breaking the worker" '^$'
try 'job add' "job add" '[0-9]{19}'
errors=$(grep -m1 -E 'pepperbusctl -c .*topic errors hello/fragile$' "$T/stays.log")
broken() { [[ $(eval "$errors") == *'is broken'* ]]; }
replayable() { [[ $(eval "${errors/topic errors/--json topic show}" | json '$j["counts"]["dead"]') -ge "$1" ]]; }
ok "the job fails, and is dead in the end" wait_until 20 replayable 1
ok "topic errors" broken
try 'pepperbusctl -c .*topic retry' "topic retry" 'dead'
try '^ +rm ' "mending it" '^$'
try 'pepperbusctl -c .*topic replay' "topic replay" 'job.* due'
ok "the worker handles it" wait_until 20 contains "$T/stays.log" 'FragileWorker: job .*a job that fails'
try 'config reload' "config reload" '.'
try '^ +curl' "the figures" 'pepperbus_'
kill -TERM "${PID[stays]}"
ended stays
is "$code" 0 "a signal ends it"
like "$(tail -n 2 "$T/stays.log")" 'Stopped broker, Redis and php-fpm' "and it says so"
clean stays

note "killed"
start killed
ok "it is up" wait_until 60 contains "$T/killed.log" 'Ctrl-C ends everything'
kill -KILL "${PID[killed]}"
ended killed
eventually 20 'left killed' '' "what it started ends all the same"

note "what it cannot do"
is "$("$ROOT/scripts/quickstart" --nonsense >/dev/null 2>&1 || echo $?)" 2 "an unknown argument"
PEPPERBUSD=$T/no/pepperbusd start nothing --once
ended nothing
is "$code" 1 "a program that is not there"
clean nothing
printf '#!/bin/sh\nexit 1\n' >"$T/ends.sh"
chmod +x "$T/ends.sh"
PEPPERBUSD=$T/ends.sh start ends --once
ended ends
is "$code" 1 "a broker that ends at once"
like "$(<"$T/ends.log")" 'Starting the broker' "is not started again and again"
is "$(left ends)" "" "ends: no process is left"

note "a port that somebody takes between the look and the start"
cat >"$T/late.sh" <<SH
#!/bin/bash
mkdir "$T/taken" 2>/dev/null || exec "$PEPPERBUSD" "\$@"
port=\$(sed -n 's/^listen = 127.0.0.1://p' "\$2")
php -r '\$s = stream_socket_server("tcp://127.0.0.1:\$argv[1]"); touch("$T/taken/by"); while (\$s) sleep(60);' "\$port" &
until [[ -e $T/taken/by ]]; do sleep 0.02; done
"$PEPPERBUSD" "\$@"
kill \$!
SH
chmod +x "$T/late.sh"
PEPPERBUSD=$T/late.sh start late --once
ended late
is "$code" 0 "it takes another"
ok "after one that was taken" test -e "$T/taken/by"
like "$(<"$T/late.log")" 'It works' "and works"
clean late
done_testing
