#!/usr/bin/env bash
# The plugin interface only grows: what stands in tests/abi/layout.txt is where it was, what is new
# has a higher minor version, and a plugin that was built with the headers of 1.0 keeps the contract
# with the host of today. (It runs in the broker in tests/e2e/test_plugins.py.)
set -uo pipefail
n=0
result() { # STATUS NAME
  n=$((n + 1))
  if (($1 == 0)); then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
command -v python3 >/dev/null || { echo "1..0 # SKIP python3 is not installed"; exit 77; }
cc=${TEST_CC:-${CC:-cc}}
command -v "${cc%% *}" >/dev/null || { echo "1..0 # SKIP no C compiler ($cc)"; exit 77; }
[[ $(getconf LONG_BIT) == 64 ]] || { echo "1..0 # SKIP the table is one of 64-bit machines"; exit 77; }
T=$(mktemp -d "${TMPDIR:-/tmp}/pbabi.XXXXXX") || exit 1
trap 'rm -rf "$T"' EXIT
abi=$top_srcdir/tests/abi

layout() { python3 "$abi/layout.py" check "$1" "$abi/layout.txt"; }
layout "$top_srcdir/include"
result $? "<pepperbus/*.h> has the layout that plugins were built with (tests/abi/layout.txt)"

grep -qx "abi_version=$(tail -n 1 "$abi/layout.txt" | cut -d' ' -f1)" "$top_srcdir/pepperbus.pc.in"
result $? "pkg-config --variable=abi_version pepperbus tells the same version"

# --- would it see a break? ---

changed() { # NAME WORDS FILE SED-SCRIPT
  local rc=0
  rm -rf "$T/include"
  cp -r "$top_srcdir/include" "$T/include"
  chmod -R u+w "$T/include"
  sed -i -E "$4" "$T/include/pepperbus/$3"
  if cmp -s "$T/include/pepperbus/$3" "$top_srcdir/include/pepperbus/$3"; then rc=1; fi
  layout "$T/include" >"$T/out" && rc=1
  grep -qF -- "$2" "$T/out" || { rc=1; sed 's/^/# /' "$T/out"; }
  result $rc "$1"
}
changed "a member in the middle is a break" "struct pb_host io_set: since 1.0 it is" transport.h \
  's/^(  uint64_t \(\*now_ms\).*)$/\1\n  int (*wall_ms)(void);/'
changed "so is a member that is gone" "struct pb_result code: since 1.0 it is" outcome.h '/int32_t code;/d'
changed "one of another size" "size 2: uint16_t\", now it is" transport.h \
  's/uint16_t abi_major, abi_minor;/uint32_t abi_major, abi_minor;/'
changed "one of another type" "uint64_t (*)(struct pb_owner *)\", now it is" transport.h \
  's/uint64_t \(\*now_ms\)\(struct pb_owner/int64_t (*now_ms)(struct pb_owner/'
changed "a number that means something else" "enum pb_outcome PB_BUSY: since 1.0" outcome.h \
  's/PB_BUSY = 3/PB_BUSY = 9/'
changed "another magic" "number PB_MAGIC: since 1.0" abi.h 's/0x50425452u/0x50425453u/'
changed "a member at the end is no break, and has to be written down" \
  "struct pb_topic_info node is new. Raise PB_ABI_MINOR" transport.h \
  's/^(  uint64_t timeout_ms;.*)$/\1\n  const char *node;/'
changed "a version without anything new" "they go together" abi.h \
  's/(PB_ABI_MINOR) [0-9]+/\1 99/'

# --- plugins of 1.0 and 1.1 ---

python3 "$abi/layout.py" print "$abi/include-1.0" >"$T/old" && sed -n 's/^1\.0 //p' "$abi/layout.txt" | cmp -s - "$T/old"
result $? "the headers of 1.0 that are kept are those of the table"
${cc} -std=gnu17 -Wall -shared -fPIC -fvisibility=hidden -I"$abi/include-1.0" -Wl,-z,now \
  -o "$T/skeleton.so" "$abi/skeleton-1.0.c" 2>"$T/out"
result $? "a plugin is built with the headers of 1.0"
"$top_builddir/pepperbus-plugin-check" "$T/skeleton.so" >"$T/out" 2>&1
rc=$?
((rc == 0)) || sed 's/^/# /' "$T/out"
result $rc "it keeps the contract with the host of today"
python3 "$abi/layout.py" print "$abi/include-1.1" | sort >"$T/old" && sed -n 's/^1\.[01] //p' "$abi/layout.txt" | sort | cmp -s - "$T/old"
result $? "the headers of 1.1 that are kept are those of the table"
${cc} -std=gnu17 -Wall -shared -fPIC -fvisibility=hidden -I"$abi/include-1.1" -Wl,-z,now \
  -o "$T/skeleton.so" "$abi/skeleton-1.0.c" 2>"$T/out"
result $? "a plugin is built with the headers of 1.1"
"$top_builddir/pepperbus-plugin-check" "$T/skeleton.so" >"$T/out" 2>&1
rc=$?
((rc == 0)) || sed 's/^/# /' "$T/out"
result $rc "it keeps the contract with the host of today, too"
echo "1..$n"
