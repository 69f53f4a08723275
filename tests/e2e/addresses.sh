#!/usr/bin/env bash
# One HTTP pool with two addresses: what becomes of its topic when one of them says 503, hangs, or
# breaks its connections, and when both say 503.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php node

# --- two servers in Node; each does what its file `mood` says: nothing is fine ---

a=$(free_port) b=$(free_port)
cat >"$T/server.js" <<'JS'
const fs = require('fs');
const http = require('http');
const [dir, ...ports] = process.argv.slice(2);
const mood = name => { try { return fs.readFileSync(`${dir}/mood.${name}`, 'utf8').trim(); } catch { return ''; } };
ports.forEach((port, i) => {
  const name = 'ab'[i];
  const server = http.createServer((req, res) => {
    const parts = [];
    req.on('data', part => parts.push(part));
    req.on('end', () => {
      const form = new URLSearchParams(Buffer.concat(parts).toString());
      const [how, after] = mood(name).split(' ');
      fs.appendFileSync(`${dir}/asked.${name}`, `${form.get('type')} ${how}\n`);
      if (how === 'hang') return;
      if (how === 'reset') { req.socket.destroy(); return; }
      if (how === '503') { res.writeHead(503, after ? {'Retry-After': after} : {}).end('later'); return; }
      if (form.get('type') === 'data')
        for (const job of JSON.parse(form.get('jobs'))) fs.appendFileSync(`${dir}/handled`, `${name} ${job.content}\n`);
      setTimeout(() => res.writeHead(200, {code: 200, 'consume-topics': 'q/t'}).end('done'), 2);
    });
  });
  server.keepAliveTimeout = 0; // else it closes one after 5 s, maybe just when a request comes
  server.listen(Number(port), '127.0.0.1');
});
JS
node "$T/server.js" "$T" "$a" "$b" >"$T/node.log" 2>&1 &
PID[node]=$!
wait_until 10 port_open "$a"
wait_until 10 port_open "$b"
mood() { # a|b WORDS: in one step, for it is read all the time
  echo "${*:2}" >"$T/mood.new"
  mv "$T/mood.new" "$T/mood.$1"
}

# --- the broker ---

conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool two]
run_type = http
address = 127.0.0.1:$a, 127.0.0.1:$b
max_connections = 8
hangup_after = 1s
[queue q]
password = pw
[topic q/t]
pool = two
entry = http://worker.example/
workers = 8
timeout = 8s
attempts = 5
backoff = 50ms..200ms
INI
start_redis redis
start_broker b
count() { topic b q/t "$1"; }
handled() { lines handled; }
health() { api b GET /api/v1/status | json '$j["pools"][0]["health"] . ": " . $j["pools"][0]["health_text"]'; }
total=0
add() {
  push b q $(seq "$1") >/dev/null
  total=$((total + $1))
}
all_handled() { eventually 30 handled "$total" "$1"; }
asked() { grep -c '^data' "$T/asked.a" || true; } # of the first one
met() { grep -c "^data $1" "$T/asked.a" || true; } # MOOD: of those, the ones that met it
is_used() { (($(asked) > before)); }
uses() { # new jobs get to the first one
  before=$(asked)
  add 10
  wait_until 1 is_used
}

eventually 10 "topic_state b q/t" open "two addresses"
add 200
all_handled "200 jobs"
on_a=$(grep -c '^a' "$T/handled" || true)
ok "spread over both" test "$on_a" -ge 50 -a "$on_a" -le 150
like "$(health)" '^ok: ' "all is well"

# One of them says 503.
before=$(asked)
mood a 503 300
add 300
all_handled "one says 503: 300 jobs"
is "$(count failed) $(count busy) $(topic_state b q/t)" "0 0 open" "no attempt counted, nothing slowed"
ok "it was asked for a few of them, and is left alone" test $(($(asked) - before)) -le 8
like "$(health)" "^degraded: 1 of 2 addresses are passed over: 127.0.0.1:$a is busy for [0-9]+ s \(status 503, Retry-After 300 s\), tried in [0-9]+ s; using the other addresses" \
  "the pool's health says so"
like "$(<"$T/b.log")" "127.0.0.1:$a is busy: status 503, Retry-After 300 s; trying it in 300 s, using the other addresses" "and the log"

# Both of them: the topic waits for the one that is back sooner.
mood b 503 2
add 20
was_busy() { (($(count busy) > 0)); }
ok "both say 503: busy" wait_until 10 was_busy
eventually 10 "health | cut -c1-23" "down: 2 of 2 addresses " "none is left" # but while it asks again
began=$(now_ms)
rm "$T/mood.a" "$T/mood.b"
all_handled "the jobs are handled"
took=$(($(now_ms) - began))
note "after $took ms"
ok "when the sooner one is back, not after 300 s" test "$took" -lt 100000
is "$(count failed)" 0 "no attempt counted"
eventually 10 "health | cut -c1-20" "degraded: 1 of 2 add" "one is well again"

# A reload opens the pool anew: nothing is known of its addresses.
sed -i 's/^max_connections = 8$/max_connections = 9/' "$T/b.ini"
kill -HUP "${PID[b]}"
eventually 10 "health | cut -c1-4" "ok: " "a reload forgets it"
ok "both are used" wait_until 10 uses

# One of them hangs.
mood a hang
began=$(now_ms)
add 600
all_handled "one hangs: 600 jobs"
took=$(($(now_ms) - began))
note "in $took ms"
hung=$(met hang)
ok "it got $hung of them, at most its share of the slots and a probe now and then" test "$hung" -le $((5 + took / 8000))
eventually 10 "count failed" "$hung" "those alone are failed attempts"
like "$(health)" "^degraded: 1 of 2 addresses are passed over: 127.0.0.1:$a does not answer for [0-9]+ s \([0-9]+ requests in a row, the last: " \
  "the pool's health says so"
like "$(<"$T/b.log")" "127.0.0.1:$a does not answer: 3 requests in a row, .*using the other addresses" "and the log"
rm "$T/mood.a"
ok "back: it is used again" wait_until 20 uses
eventually 10 "health | cut -c1-4" "ok: " "all is well"
like "$(<"$T/b.log")" "127.0.0.1:$a answers again" "the log says so"
all_handled "and no job is left over"

# One of them breaks its connections.
failed=$(count failed)
mood a reset
began=$(now_ms)
add 300
all_handled "one breaks its connections: 300 jobs"
took=$(($(now_ms) - began))
ok "it got $(met reset) of them, some at first and a probe a second at most" test "$(met reset)" -le $((9 + took / 1000))
is "$(($(count failed) - failed))" "$(met reset)" "those alone are failed attempts"
is "$(count dead)" 0 "no job was given up"
done_testing
