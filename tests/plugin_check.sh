#!/usr/bin/env bash
# pepperbus-plugin-check: finds no fault with the plugins of this tree, and in each of the broken
# ones (tests/plugin/broken.c) the one that it has, in the words that stand here.
set -uo pipefail
check=$top_builddir/pepperbus-plugin-check
cc=${TEST_CC:-${CC:-cc}}
n=0
result() { # STATUS NAME
  n=$((n + 1))
  if (($1 == 0)); then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
T=$(mktemp -d "${TMPDIR:-/tmp}/pbcheck.XXXXXX") || exit 1
trap 'rm -rf "$T"' EXIT

# --- sound ones: FILE ARGS... ---

# They run beside each other, for they wait more than they work, and are told by sound_told.
sounds=()
sound() {
  local k=${#sounds[@]}
  sounds+=("${1##*/} ${*:2}: keeps the contract")
  {
    local rc=0
    "$check" "${@:2}" "$1" >"$T/sound.$k" 2>&1 || rc=$?
    echo "$rc" >"$T/sound.$k.rc"
  } &
  if ((k % 4 == 3)); then wait; fi
}
sound_told() {
  local k rc
  wait
  for k in "${!sounds[@]}"; do
    rc=$(cat "$T/sound.$k.rc" 2>/dev/null || echo 1)
    ((rc == 0)) || sed 's/^/# /' "$T/sound.$k"
    result "$rc" "${sounds[k]}"
  done
  sounds=()
}
plugins=$top_builddir/plugins
sound "$plugins/skeleton/.libs/skeleton.so"
sound "$plugins/skeleton/.libs/skeleton.so" --pool delay=90ms
sound "$plugins/.libs/fastcgi.so" --pool 'address={peer}' --set entry=/x.php
sound "$plugins/.libs/fastcgi.so" --pool 'address={peer:tcp}' --set entry=/x.php --pool keepalive=no
sound "$plugins/.libs/http.so" --set 'entry=http://{peer:tcp}/x'
sound "$plugins/.libs/http.so" --pool 'address={peer}' --set entry=http://worker/x
exec=$plugins/.libs/exec.so
sound "$exec" --set entry=/bin/true
sound "$exec" --set entry=/bin/cat --set nice=5 --set limit_open_files=40
sound "$exec" --set 'entry=sh -c "while read -r l; do echo {\\\"code\\\":200}; done"' --set resident=yes
sound "$exec" --run-type pull --set 'entry=/bin/sleep 100'
if [[ ! $SANITIZED ]] && command -v python3 >/dev/null; then
  sound "$exec" --wait 3000 --set resident=yes \
    --set "entry=$(python3 -c "import sys; print(sys.executable)") $top_srcdir/examples/exec/worker.py"
fi
sound_told
# A helper that a stranger put two levels above the plugin is not run, by root least of all.
if ((EUID == 0)); then
  mkdir -p "$T/a/b"
  cp "$exec" "$T/a/b/"
  printf '#!/bin/sh\n: >"%s/taken"\n' "$T" >"$T/pepperbus-exec"
  chmod 755 "$T/pepperbus-exec"
  chown nobody "$T/pepperbus-exec"
  "$check" --set entry=/bin/cat --set nice=5 "$T/a/b/exec.so" >"$T/out" 2>&1
  [[ ! -e $T/taken ]]
  result $? "a stranger's pepperbus-exec is not run"
fi

# --- usage ---

usage() { # NAME WORDS ARGS...
  local rc=0
  "$check" "${@:3}" >"$T/out" 2>&1 || rc=$?
  if ((rc == 2)) && grep -qF -- "$2" "$T/out"; then result 0 "$1"; else
    sed 's/^/# /' "$T/out"
    result 1 "$1 (exit status $rc)"
  fi
}
usage "no file: how it is called" "usage: pepperbus-plugin-check"
usage "a key that the plugin does not have" "has no key speed in [pool]" --pool speed=1 \
  "$plugins/skeleton/.libs/skeleton.so"
usage "a value that does not fit" "[pool] delay = soon" --pool delay=soon \
  "$plugins/skeleton/.libs/skeleton.so"
usage "a key that it requires" "requires [pool] address" "$plugins/.libs/fastcgi.so"
usage "what the plugin's check() refuses" "refuses [topic] entry" --pool 'address={peer}' \
  --set entry=x.php "$plugins/.libs/fastcgi.so"
usage "another run type" "it has no run type cig" --run-type cig "$plugins/.libs/fastcgi.so"

# --- broken ones ---

if ! command -v "$cc" >/dev/null; then
  echo "ok $((n + 1)) - broken plugins # SKIP no C compiler"
  echo "1..$((n + 1))"
  exit 0
fi
build() { # NAME
  mkdir -p "$T/$1"
  "$cc" -std=gnu17 -g -DBREAKS="$1" -D_GNU_SOURCE -shared -fPIC -fvisibility=hidden \
    -I"$top_srcdir/include" -o "$T/$1/broken.so" "$top_srcdir/tests/plugin/broken.c" -lpthread \
    2>"$T/$1/cc.log" || { sed 's/^/# /' "$T/$1/cc.log"; false; }
}
broken() { # NAME WORDS [ARGS...]: runs beside the others; told below
  build "$1" || return
  local rc=0
  # A crash is pepperbus-plugin-check's to tell, not the sanitizer's.
  ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}handle_segv=0" "$check" --set password=s3cretWord "${@:3}" "$T/$1/broken.so" >"$T/$1/out" 2>&1 || rc=$?
  if ((rc == 1)) && grep -qF -- "$2" <(grep -F BROKEN "$T/$1/out"); then echo 0; else echo 1; fi >"$T/$1/rc"
}
names=() jobs=0
expect() {
  names+=("$1")
  broken "$@" &
  if ((++jobs % 12 == 0)); then wait; fi # they wait more than they work
}
expect completes_twice "completes a request twice"
expect completes_never "never completes a request"
expect completes_refused "completes a request within submit() and refuses it as well"
expect cancel_forgets "never completes a request, not even after cancel()"
expect cancel_unknown "completes a ticket that is none"
expect cancel_crashes " in cancel()" # a crash; what a sanitizer makes of it is an exit
expect timer_after_destroy "leaves a timer running after destroy()"
expect post_after_destroy "calls log() for check/"
expect drained_twice "calls drained() twice"
expect drained_early "calls drained() while 2 of its requests run"
expect drained_never "never calls drained() after drain()"
expect never_ready "never calls ready()"
expect refuses_silently "and leaves err->text empty"
expect returns_positive "returns 11 from submit()"
expect topics_meet "they must not meet"
expect batch_after_end "asks batch_json() of a batch whose ticket is completed"
expect job_out_of_range "asks job_body() for job 100 of a batch of"
expect leaks_descriptor "descriptors open that it never closes, the first (/dev/zero)"
expect leaks_timer "timers that it never freed"
expect inherits_descriptor "a descriptor that is not close-on-exec"
expect closes_watched "closes a descriptor before io_del()"
expect other_thread "calls log() from a thread of its own"
expect ping_without_topic "neither in \`topics\` nor in \`body\`"
expect bad_outcome "outcome 77, which is none"
expect tells_secret "shows the secret password in a log line"
expect metric_of_pool "calls metric() of heat_celsius for check/"
expect metric_number "calls metric() with number 2, its table has 2"
expect health_overflow "writes behind the buffer that health() is given"
expect ends_process "ends the process with exit status 7 in submit()"
expect refuses_load "refuses to be loaded: no licence"
expect no_help "has no help text for [topic] weight"
expect open_secret "PB_OPT_SECRET is missing"
expect bad_metric "has a metric \"Jobs\""
expect wrong_offset "weight: offset 16 is outside of the struct"
expect blocks_in_submit "blocks in submit(), for more than 50 ms"
expect blocks_in_timer "blocks in a timer's callback"
expect loops_for_ever "does not come back from submit()"
wait
for name in "${names[@]}"; do
  rc=$(cat "$T/$name/rc" 2>/dev/null || echo 1)
  ((rc == 0)) || sed 's/^/# /' "$T/$name/out"
  result "$rc" "a plugin that breaks it ($name) is found"
done
build nothing && sound "$T/nothing/broken.so" --set password=s3cretWord
# Its own clock, or a busy machine, may keep it: that is not never.
build takes_its_time && sound "$T/takes_its_time/broken.so" --set password=s3cretWord
sound_told

# What is no plugin.
echo "no library" >"$T/text.so"
"$check" "$T/text.so" >"$T/out" 2>&1
result $(($? != 1)) "no plugin at all"
grep -q "BROKEN.*text.so: cannot be loaded" "$T/out"
result $? "is said to be that"

# Leaks: the sanitizers do not live with valgrind.
if [[ $SANITIZED ]] || ! command -v valgrind >/dev/null; then
  echo "ok $((n += 1)) - under valgrind # SKIP not with sanitizers, or without valgrind"
else
  sound "$plugins/.libs/fastcgi.so" --valgrind --pool 'address={peer}' --set entry=/x.php
  sound_told
  broken leaks_memory "leaks memory or uses it wrongly" --valgrind
  [[ $(cat "$T/leaks_memory/rc") == 0 ]] || sed 's/^/# /' "$T/leaks_memory/out"
  result "$(cat "$T/leaks_memory/rc")" "a plugin that leaks memory is found"
  grep -q "333 bytes\|lost" "$T/leaks_memory/out"
  result $? "and valgrind says where"
fi
echo "1..$n"
