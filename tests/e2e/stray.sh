#!/usr/bin/env bash
# Jobs of topics and queues that the configuration does not name any more: renamed, moved to another
# storage, taken out. They stay, and the broker says so, at a reload and at each start.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php

start_redis redis
start_redis other
# Nobody is at the pool's address: all jobs wait.
queues() {
  cat <<INI
[storage main]
address = unix:$T/redis.sock
[storage second]
address = unix:$T/other.sock
[pool php]
run_type = cgi
address = unix:$T/none.sock
[queue q]
password = pw
INI
  local topic
  for topic; do # QUEUE/TOPIC:STORAGE
    printf '[topic %s]\nstorage = %s\npool = php\nentry = /w.php\n' "${topic%:*}" "${topic#*:}"
  done
}
removable() { printf '[queue r]\npassword = pw\n'; }
told() { grep -cE -- "$1" "$T/b.log"; }
walked() { wait_until 10 contains "$T/b.log" 'storage main: looked through'; }
SERVER='log_level = debug'

{ queues q/a:main q/b:main q/c:main r/x:main; removable; } | conf b
start_broker b
push b q 1 2 3 >/dev/null
push b r 1 2 >/dev/null
is "$(topic b q/b ready)" 3 "three jobs wait"
ok "the storage was looked through" walked
unlike "$(<"$T/b.log")" 'not configured' "all is configured: nothing is said"

{ queues q/a:main q/renamed:main q/c:main r/x:main; removable; } | conf b
kill -HUP "${PID[b]}"
ok "renamed by a reload: the log names what the old name left" wait_until 10 contains "$T/b.log" \
  'q/b: is not configured for storage main any more and has 3 jobs and 0 failed'
ok "and what can be done" contains "$T/b.log" 'topic drop q/b'
is "$(told 'q/(a|c|renamed): is not')" 0 "the others are not named"

{ queues q/a:main q/renamed:main q/c:second r/x:main; removable; } | conf b
kill -HUP "${PID[b]}"
ok "moved to another storage: named" wait_until 10 contains "$T/b.log" \
  'q/c: is not configured for storage main any more and has 3 jobs .* another storage now'
like "$(ctl b topic stray q)" 'q/c +main' "topic stray has it, with its storage"
is "$(told 'q/b: is not')" 1 "what was told is not told again by the same broker"

queues q/a:main q/renamed:main q/c:second | conf b
kill -HUP "${PID[b]}"
ok "a queue that was taken out: named with its topics" wait_until 10 contains "$T/b.log" \
  'r: is not configured any more and has 2 jobs in storage main \(topics: x\)'
stop b
: >"$T/b.log"
start_broker b
for name in 'q/b' 'q/c' 'r'; do
  ok "the next start tells of $name" wait_until 10 contains "$T/b.log" " $name: is not configured"
done

# Back again: nothing was lost. Dropped: nothing is left to tell.
{ queues q/a:main q/renamed:main q/c:main r/x:main; removable; } | conf b
kill -HUP "${PID[b]}"
eventually 10 "topic b q/c ready" 3 "moved back: its jobs are there"
eventually 10 "topic b r/x ready" 2 "configured again: its jobs are there"
like "$(ctl b topic drop q/b --yes)" 'q/b is gone' "topic drop deletes what q/b had"
stop b
: >"$T/b.log"
start_broker b
ok "the storage was looked through" walked
unlike "$(<"$T/b.log")" 'not configured' "nothing is left to be told"
stop b
done_testing
