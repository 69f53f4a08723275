#!/usr/bin/env bash
# A plugin exports exactly one symbol, and nothing it needs comes from the broker.
set -euo pipefail
n=0
check() { # passed? name
  n=$((n + 1))
  if [[ $1 == 0 ]]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
# Names that the broker defines, static ones left out.
mapfile -t core < <(nm --defined-only "$top_builddir/libcore.a" 2>/dev/null |
  awk 'NF == 3 && $2 ~ /^[TDBRVWC]$/ { print $3 }' | sort -u)
for so in "$top_builddir"/plugins/.libs/*.so "$top_builddir"/plugins/*/.libs/*.so; do
  [[ -e $so ]] || continue
  name=$(basename "$so" .so)
  # The sanitizers add symbols of their own.
  exported=$(nm -D --defined-only "$so" | awk '{ print $NF }' | grep -vE '^(__asan|__ubsan|__odr_asan|_init$|_fini$)' || true)
  rc=0
  [[ $exported == "${name}_LTX_pb_transport" ]] || { rc=1; echo "# $name exports: $exported"; }
  check $rc "$name exports ${name}_LTX_pb_transport alone"
  needed=$(nm -D --undefined-only "$so" | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort -u |
    comm -12 - <(printf '%s\n' "${core[@]}"))
  rc=0
  [[ -z $needed ]] || { rc=1; echo "# $name takes from the broker: $needed"; }
  check $rc "$name takes nothing from the broker"
done
[[ $n -gt 0 ]] || check 1 "there is a plugin"
echo "1..$n"
