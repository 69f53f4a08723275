#!/bin/sh
# A resident worker: a line of JSON comes in, a line of JSON goes out. Needs jq. See doc/exec.md.
#   entry = /srv/app/worker.sh       resident = yes
while read -r line; do
  case $line in
  '{"type":"ping"'*) printf '{"code":200}\n' ;;
  *) if printf '%s\n' "$line" | jq -r '.jobs[].content' >>"${OUT:-/tmp/jobs.txt}"; then
       printf '{"code":200,"msg":"written"}\n'
     else printf '{"code":500,"msg":"cannot write"}\n'; fi ;;
  esac
done
