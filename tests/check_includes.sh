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
core=(core/*.[ch])
ctl=(core/ctl/*.[ch])
plugins=(plugins/*/*.[ch])

none "the public headers include libc and each other alone" \
  bash -c 'grep -nE "^ *# *include" include/pepperbus/*.h |
    grep -vE "<(std[a-z]+|string|sys/types)\.h>|<pepperbus/[a-z]+\.h>"'
none "no plugin includes the core" \
  bash -c 'grep -nE "^ *# *include +\"" '"${plugins[*]}"' | grep -E "\.\./|core/"'
none "hiredis stands behind redis_link" includes 'hiredis/.*' 'core/redis_(link|command)\.[ch]' "${core[@]}" "${ctl[@]}"
none "of hiredis it uses the reader alone, not its contexts and replies" \
  grep -nE 'hiredis/(async|adapters)|redisContext|redisAsync[A-Z]|\bredisReply\b' core/redis_link.c
none "libltdl stands behind plugin" includes 'ltdl\.h' 'core/plugin\.c' "${core[@]}" "${ctl[@]}" "${plugins[@]}"
none "inih stands behind conf" includes 'ini\.h' 'core/conf\.c' "${core[@]}" "${ctl[@]}"
none "libevent stands behind loop, listener, client and admin" \
  includes 'event2/.*' 'core/(loop|listener|client|door|admin)[a-z_]*\.[ch]' "${core[@]}" "${ctl[@]}" "${plugins[@]}"
none "libcurl is pepperbusctl's and the http plugin's" includes 'curl/.*' 'core/ctl/[a-z]+\.[ch]|plugins/http/[a-z_]+\.[ch]' "${core[@]}" "${ctl[@]}" "${plugins[@]}"

none "only the store's files know redis_link, redis_server and the scripts" \
  includes '(redis_[a-z]+|store_private|store_script)\.h' 'core/(redis|store)_[a-z]+\.[ch]' "${core[@]}"
none "clients and commands do not know the store" \
  includes 'store[a-z_]*\.h' 'none' core/{listener,client,command,auth,resp,reply}.[ch]
none "the dispatcher's files do not know Redis" \
  includes '(redis|store)_[a-z]+\.h' 'none' core/{dispatcher,dispatch,run,take,outcome,transport,batch,plugin,topic}*.[ch]
none "the store does not know who asks it" \
  includes '(dispatcher|dispatch|intake|client|command|listener|admin[a-z_]*|outcome|transport|broker|topic)\.h' 'none' core/{store,redis}*.[ch]
none "the leaves know nobody above them" \
  includes '(store|topic|dispatcher|intake|client|command|listener|admin|broker|loop|settings|conf|option)\.h' 'none' core/{buf,log,arena,fault,nearest,id,resp,reply}.[ch]
none "intake knows neither clients nor the admin API" includes '(client|command|listener|admin[a-z_]*|broker)\.h' 'none' core/intake*.[ch]
none "only the admin API and main know the whole broker" \
  includes 'broker\.h' 'core/(admin[a-z_]*|main|reload|shutdown)\.[ch]' "${core[@]}"
none "pepperbusctl knows leaves of the core alone" \
  bash -c 'grep -nE "^ *# *include +\"" '"${ctl[*]}"' | grep -vE "\"(ctl|api|table|text|buf|nearest|secret|id|job_id|trace|settings|conf|option|plugin|log|address|admin_id)\.h\""'
none "pepperbus-plugin-check knows the loader and leaves of the core alone" \
  bash -c 'grep -nE "^ *# *include +\"" check/*.[ch] |
    grep -vE "\"(check|peer|report|option|plugin|log|(\.\./tests/plugin/)?harness)\.h\""'
echo "1..$n"
