#!/usr/bin/env bash
# `make install` into an empty tree: everything is there, no libtool files are, the broker runs
# from it, a plugin is built outside of this tree against it, and `make uninstall` takes it away.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php
builddir=${top_builddir:-$(dirname "$PEPPERBUSD")}
install_tree
root=$INSTALLED

for f in "$(at bindir)"/{pepperbusd,pepperbusctl,pepperbus-plugin-check} "$(at plugindir)"/{fastcgi,http,exec}.so \
  "$(at helperdir)/pepperbus-exec" \
  "$(at includedir)"/pepperbus/{abi,job,option,outcome,transport}.h \
  "$(at libdir)/pkgconfig/pepperbus.pc" "$(at sysconfdir)"/pepperbus/{pepperbus,pepperbus-minimal}.ini; do
  ok "${f##*/} is installed" test -e "$f"
done
is "$(find "$root" -name '*.la')" "" "no .la file is"
if [[ -e $(at mandir)/man8/pepperbusd.8 ]]; then
  is "$(find "$(at mandir)" -type f | wc -l)" 4 "four man pages"
else
  skip "four man pages" "built without lowdown"
fi

# @case P4: what the documents point at is there, the SDK can be used, and no path is left to be guessed
broken=$(cd "$(at docdir)" && find . -name '*.md' | while read -r f; do
  grep -oE '\]\([^)#: ]+' "$f" | sed 's/^](//' | while read -r link; do
    [[ -e ${f%/*}/$link ]] || echo "$f: $link"
  done
done)
is "$broken" "" "links of installed documents lead somewhere"
is "$(find "$(at docdir)" -name '*.md' | wc -l)" \
  "$(find "$ROOT"/{README,NEWS,CONTRIBUTING}.md "$ROOT/doc" "$ROOT/sdk/php/README.md" -name '*.md' | wc -l)" "and all of them are there"
is "$(find "$(at docdir)" "$(at mandir)" -type f -print0 | xargs -0 grep -lE '@SYSCONFDIR@|sysconfdir.?.?/')" "" "none says sysconfdir/"
if [[ -e $(at mandir)/man1/pepperbusctl.1 ]]; then
  like "$(<"$(at mandir)/man1/pepperbusctl.1")" "$(sed -n 's/^sysconfdir //p' <<<"$INSTALLED_PLACES")/pepperbus/pepperbus.ini" \
    "pepperbusctl(1) names the file that it takes"
fi
ok "the license is installed" cmp "$ROOT/LICENSE" "$(at docdir)/LICENSE"
ok "and is the SDK's, too" cmp "$ROOT/LICENSE" "$(at sdkdir)/LICENSE"
is "$(php -r 'echo json_decode(file_get_contents($argv[1]))->license;' "$(at sdkdir)/composer.json")" Apache-2.0 "as composer is told"
like "$(php -r 'require $argv[1]; echo get_class(PepperBus::getInstance());' "$(at sdkdir)/autoload.php" 2>&1)" \
  '^(Pepper.Bus.)?PepperBus$' "the installed SDK loads"
is "$(find "$(at docdir)/examples" -type f | wc -l)" "$(cd "$ROOT" && find examples -type f ! -name '*.so' | wc -l)" "the examples are installed"
ok "those that are programs can be run" test -x "$(at docdir)/examples/exec/worker.sh"
# completes WORD...: what the shell offers for the last one
completes() {
  (
    # shellcheck disable=SC1091 # of the installed tree
    . "$(at bashcompletiondir)/pepperbusctl"
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _pepperbusctl
    echo "${COMPREPLY[*]}"
  )
}
is "$(completes pepperbusctl top)" "top topic" "completion: verbs"
is "$(completes pepperbusctl topic re)" "resume retry replay rename" "of a noun"
is "$(completes pepperbusctl topic retry --c)" "--count --config" "options of a verb"
like "$(completes pepperbusctl -c "$(at sysconfdir)/pepperbus/")" 'pepperbus-minimal.ini' "files"

# A plugin author has the headers and pkg-config, not this tree.
mkdir "$T/outside"
cp "$ROOT/plugins/skeleton/skeleton.c" "$T/outside/"
# shellcheck disable=SC2046 # flags
ok "a plugin is built outside of this tree" quietly ${CC:-cc} -std=gnu17 -Wall -Werror -shared -fPIC \
  -fvisibility=hidden -Wl,-z,defs $(pkg-config --cflags pepperbus) -o "$T/outside/skeleton.so" \
  "$T/outside/skeleton.c"
cp "$(at plugindir)/fastcgi.so" "$T/outside/"
chmod 755 "$T/outside"

start_redis redis
PEPPERBUS_PLUGIN_DIR=$T/outside
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
INI
start_broker b
is "$(completes pepperbusctl -c "$T/b.ini" topic pause q)" "q/log" "topics, as the broker has them"
is "$(completes pepperbusctl -c "$T/b.ini" pool show p)" "php" "and pools"
like "$(push b q x)" '"error":""' "the installed broker runs, with the installed transport"
like "$(api b GET /api/v1/status)" '"name": ?"skeleton"' "and has loaded the one from outside"
stop b

echo '; mine' >>"$(at sysconfdir)/pepperbus/pepperbus.ini"
ok "a second make install" quietly make -C "$builddir" install "DESTDIR=$root"
is "$(tail -n 1 "$(at sysconfdir)/pepperbus/pepperbus.ini")" "; mine" "leaves a changed configuration alone"
ok "make uninstall" quietly make -C "$builddir" uninstall "DESTDIR=$root"
is "$(find "$root" -type f | sed "s|.*/||")" pepperbus.ini "takes all away but that"
done_testing
