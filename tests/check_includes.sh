#!/usr/bin/env bash
# Who may include whom: the direction of the layers, and the one place for each library.
set -uo pipefail
cd "$top_srcdir" || exit 1
n=0
# none "name" command...: prints nothing
none() {
  local name=$1 found
  shift
  found=$("$@" 2>/dev/null)
  n=$((n + 1))
  if [[ -z $found ]]; then echo "ok $n - $name"; else
    echo "not ok $n - $name"
    sed 's/^/#   /' <<<"$found"
  fi
}
# but FILES... : lines of grep's output that are not of these files (patterns of basenames)
includes() { # PATTERN of what is included, FILES it is looked for in -- allowed files
  local what=$1 allowed=$2
  shift 2
  grep -nE "^ *# *include +[<\"]($what)[>\"]" "$@" | grep -vE "^($allowed):"
}
mapfile -t core < <(git ls-files 'core/*.[ch]' 2>/dev/null || find core -name '*.[ch]')
mapfile -t ctl < <(printf '%s\n' "${core[@]}" | grep '^core/tools/ctl/')
plugins=(plugins/*/*.[ch])

none "the public headers include libc and each other alone" \
  bash -c 'grep -nE "^ *# *include" include/pepperbus/*.h |
    grep -vE "<(std[a-z]+|string|sys/types)\.h>|<pepperbus/[a-z]+\.h>"'
none "no plugin includes the core" \
  bash -c 'grep -nE "^ *# *include +\"" '"${plugins[*]}"' | grep -E "\.\./|core/"'
none "hiredis stands behind storage/redis/link" includes 'hiredis/.*' 'core/storage/redis/(link|command)\.[ch]' "${core[@]}"
none "of hiredis it uses the reader alone, not its contexts and replies" \
  grep -nE 'hiredis/(async|adapters)|redisContext|redisAsync[A-Z]|\bredisReply\b' core/storage/redis/link.c
none "libltdl stands behind transport/plugin" includes 'ltdl\.h' 'core/transport/plugin\.c' "${core[@]}" "${plugins[@]}"
none "inih stands behind config/ini" includes 'ini\.h' 'core/config/ini\.c' "${core[@]}"
none "libevent stands behind event/, intake/ and admin/" \
  includes 'event2/.*' 'core/(event|intake|admin)/[a-z_]*\.[ch]' "${core[@]}" "${plugins[@]}"
none "libcurl is pepperbusctl's and the http plugin's" includes 'curl/.*' 'core/tools/ctl/[a-z]+\.[ch]|plugins/http/[a-z_]+\.[ch]' "${core[@]}" "${plugins[@]}"
none "what is storage/redis' own stays there" \
  includes 'storage/redis/[a-z_]+\.h' 'core/storage/redis/[a-z_]+\.[ch]' "${core[@]}"
none "pepperbusctl knows little of the core" \
  bash -c 'grep -nE "^ *# *include +\"" '"${ctl[*]}"' | grep -vE "\"(tools/ctl|base|config|job|transport)/[a-z_]+\.h\""'
none "pepperbus-plugin-check knows the loader and the base alone" \
  bash -c 'grep -nE "^ *# *include +\"" core/tools/plugin_check/*.[ch] |
    grep -vE "\"(tools/plugin_check/[a-z_]+|config/option|transport/plugin|base/log|plugin/harness)\.h\""'
echo "1..$n"
