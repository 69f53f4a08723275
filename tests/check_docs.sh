#!/usr/bin/env bash
# The sample configuration and the reference are what the option tables say; both samples are
# accepted, each with the transports of this build.
set -uo pipefail
n=0
result() { # STATUS NAME
  n=$((n + 1))
  if (($1 == 0)); then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
same() { # OPTION FILE
  diff -u "$top_srcdir/$2" <("$PEPPERBUSD" -p "$PEPPERBUS_PLUGIN_DIR" "$1" 2>/dev/null) | sed 's/^/# /'
  result "${PIPESTATUS[0]}" "$2 is what pepperbusd $1 prints"
}
accepted() { # FILE
  "$PEPPERBUSD" -p "$PEPPERBUS_PLUGIN_DIR" -t -c "$1" 2>&1 | sed 's/^/# /'
  result "${PIPESTATUS[0]}" "$1 is accepted"
}
same --sample conf/pepperbus.ini
same --reference doc/configuration.md
cd "$top_srcdir" || exit 1
accepted conf/pepperbus.ini
accepted conf/pepperbus-minimal.ini
echo "1..$n"
