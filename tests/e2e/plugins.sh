#!/usr/bin/env bash
# Plugins in the broker: one that was built with the headers of 1.0 carries jobs; each that cannot be
# used is refused with a sentence that names file, plugin, wanted and found; plugin ls shows them, and
# the topics that are left without a transport.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli curl
cc=${TEST_CC:-${CC:-cc}}
need "${cc%% *}"

mkdir "$T/plugins"
build() { # NAME SOURCE [cc options...]: $T/plugins/NAME.so
  # shellcheck disable=SC2086 # CC may have options
  $cc -std=gnu17 -shared -fPIC -fvisibility=hidden "${@:3}" -o "$T/plugins/$1.so" "$2" 2>>"$T/cc.log"
}
# The skeleton as NAME with a run type, and what sed makes of it.
variant() { # NAME RUN-TYPE SED-SCRIPT
  sed -E "s/PB_TRANSPORT\(skeleton,/PB_TRANSPORT($1,/; s/\.run_type = \"[a-z]*\"/.run_type = \"$2\"/
    s/\.name = \"skeleton\"/.name = \"$1\"/; $3" "$ROOT/plugins/skeleton/skeleton.c" >"$T/$1.c"
  build "$1" "$T/$1.c" "-I$ROOT/include"
}
ok "a plugin is built with the headers of 1.0" build skeleton "$ROOT/tests/abi/skeleton-1.0.c" \
  "-I$ROOT/tests/abi/include-1.0"
ok "others, with those of today" variant later later 's/PB_ABI_MAJOR,/9,/'
variant minor minor 's/PB_ABI_MINOR,/99,/'
variant twin skeleton ''
variant keys keys 's/\.offset = offsetof\(struct pool_conf, delay_ms\)/.offset = 4000/'
variant unlinked unlinked 's/^static void skeleton_unload\(void \*plugin\) \{/void missing_function(void);\n&\n  missing_function();/'
variant everybody everybody ''
chmod 666 "$T/plugins/everybody.so"
echo 'int nothing;' >"$T/stranger.c"
build stranger "$T/stranger.c"
echo 'no library' >"$T/plugins/text.so"

start_redis redis
PEPPERBUS_PLUGIN_DIR=$T/plugins
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool p]
run_type = skeleton
delay = 2ms
[queue q]
password = pw
[topic q/old]
pool = p
INI
start_broker b
push b q job-{1..50} >"$T/reply"
eventually 20 'topic b q/old done' 50 "the plugin of 1.0 carries 50 jobs"

ls=$(ctl b plugin ls --json)
why() { json "implode(array_map(fn(\$p) => \$p['why'], array_filter(\$j['plugins'], fn(\$p) => basename(\$p['file']) == '$1.so')))" <<<"$ls"; }
refused() { # NAME WORDS...: all in its sentence, which begins with the file
  local name=$1 sentence word
  sentence=$(why "$name")
  like "$sentence" "^$T/plugins/$name.so: " "$name: the sentence names the file"
  for word in "${@:2}"; do like "$sentence" "$word" "$name: $word"; done
}
is "$(why skeleton)" "" "nothing is wrong with it"
refused later '"later.so"' 'wants plugin ABI 9\.' 'this broker has 1\.' 'newer broker'
refused minor '"minor"' 'wants plugin ABI 1\.99' 'this broker has 1\.'
refused keys '"keys"' '\[pool\]' 'delay: offset 4000 is outside of the struct of [0-9]+ bytes'
refused unlinked 'missing_function'
refused everybody 'everybody may write' 'chmod o-w'
refused stranger 'exports no stranger_LTX_pb_transport\(\)' 'PB_TRANSPORT\(\)'
refused text 'cannot be loaded'
# Both serve "skeleton"; the folder is read in the order of names.
like "$(why skeleton)$(why twin)" "twin.so: transport \"twin\" serves run type \"skeleton\", which \"skeleton\" \($T/plugins/skeleton.so\)" "a run type twice: both files are named"

table=$(ctl b plugin ls)
like "$table" "skeleton +1\.0 +1\.0 +skeleton +loaded" "plugin ls: name, version, ABI, run type"
like "$table" "later.so +.*refused +$T/plugins/later.so" "and the refused ones"
like "$(<"$T/b.log")" "later\.so.*; going on without it" "the log has it too"

# What a configuration is told that needs one of them, and a key that none has.
sed 's/^run_type = skeleton/run_type = keys/' "$T/b.ini" >"$T/c.ini"
like "$("$PEPPERBUSD" -t -c "$T/c.ini" 2>&1 || true)" \
  "warning: .*c\.ini:[0-9]+: \[pool p\] run_type = keys: no plugin provides this run type, so no job of it is run and none is lost; there is skeleton; refused, as told above: .*keys\.so" \
  "a topic that is left without a transport: file and line, and which plugins were refused"
sed 's/^delay = 2ms/delai = 2ms/' "$T/b.ini" >"$T/c.ini"
like "$("$PEPPERBUSD" -t -c "$T/c.ini" 2>&1 || true)" "c\.ini:[0-9]+: \[pool p\] delai: .*did you mean delay" \
  "an unknown key: file and line"

# One plugin that does not load does not stop the others' topics, nor the intake of its own.
cat >>"$T/b.ini" <<INI
[pool k]
run_type = keys
[topic q/left]
pool = k
INI
kill -HUP "${PID[b]}"
eventually 10 'topic_state b q/left' broken "after a reload its topic is broken"
like "$(topic b q/left why)" "no plugin provides run_type keys" "and says why"
stop b
is "$STOP_STATUS" 0 "the broker stops"
start_broker b
eventually 10 'topic_state b q/left' broken "and starts with it"
push b q job-{51..60} >"$T/reply"
like "$(<"$T/reply")" '"error":""' "producers are served"
eventually 20 'topic b q/old done' 10 "the other topic runs"
is "$(topic b q/left ready)" 10 "its own jobs are kept"
like "$(ctl b plugin ls)" "topics without a transport.*q/left.*no plugin provides run_type keys" "plugin ls names the topics left without a transport"
like "$(<"$T/b.log")" "q/left.*cannot run: no plugin provides run_type keys; its jobs are kept" "and the log does"
sed -i 's/^run_type = keys/run_type = skeleton/' "$T/b.ini"
kill -HUP "${PID[b]}"
eventually 20 'topic b q/left done' 10 "with a transport they are run"
done_testing
