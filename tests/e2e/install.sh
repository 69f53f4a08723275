#!/usr/bin/env bash
# `make install` into an empty tree: everything is there, no libtool files are, the broker runs
# from it, a plugin is built outside of this tree against it, and `make uninstall` takes it away.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli
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
like "$(push b q x)" '"error":""' "the installed broker runs, with the installed transport"
like "$(api b GET /api/v1/status)" '"name": ?"skeleton"' "and has loaded the one from outside"
stop b

echo '; mine' >>"$(at sysconfdir)/pepperbus/pepperbus.ini"
ok "a second make install" quietly make -C "$builddir" install "DESTDIR=$root"
is "$(tail -n 1 "$(at sysconfdir)/pepperbus/pepperbus.ini")" "; mine" "leaves a changed configuration alone"
ok "make uninstall" quietly make -C "$builddir" uninstall "DESTDIR=$root"
is "$(find "$root" -type f ! -path '*/share/*doc*' | sed "s|.*/||")" pepperbus.ini "takes all away but that"
done_testing
