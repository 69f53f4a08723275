#!/usr/bin/env bash
# Workers that say how long they want to be left alone (Retry-After), and others of the same pool that
# only say that they are full.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli node

start_redis redis
free_port >"$T/web.port"
cat >"$T/server.js" <<'JS'
const fs = require('fs'), http = require('http');
const [dir, port] = process.argv.slice(2);
let full; // ends the request of the topic that is full
const server = http.createServer((req, res) => {
  if (req.url === '/let') return full(), res.end();
  let body = '';
  req.on('data', (part) => (body += part));
  req.on('end', () => {
    const form = new URLSearchParams(body), topic = form.get('topic');
    const end = (status, headers) => (res.writeHead(status, headers), res.end());
    if (form.get('type') === 'ping') return end(200, {Code: 200, 'Consume-Topics': 'q/wait,r/full'});
    fs.appendFileSync(dir + '/seen', `${topic} ${Date.now()}\n`);
    if (!fs.existsSync(dir + '/busy')) return end(200, {Code: 200});
    if (topic === 'full') {
      full = () => (fs.rmSync(dir + '/busy'), end(429, {}));
      return;
    }
    end(503, {'Retry-After': '3'});
  });
});
server.keepAliveTimeout = 0; // else it closes one after 5 s, maybe just when a request comes
server.listen(port, '127.0.0.1');
JS
node "$T/server.js" "$T" "$(<"$T/web.port")" >"$T/server.log" 2>&1 &
PID[web]=$!
wait_until 10 port_open "$(<"$T/web.port")"
conf b <<INI
[storage main]
address = unix:$T/redis.sock
[pool web]
run_type = http
max_connections = 4
[queue q]
password = pw
[queue r]
password = pw
[topic q/wait]
pool = web
entry = http://127.0.0.1:$(<"$T/web.port")/
[topic r/full]
pool = web
entry = http://127.0.0.1:$(<"$T/web.port")/
INI
start_broker b
eventually 10 "topic_state b q/wait" open "one topic is open"
eventually 10 "topic_state b r/full" open "and the other"
: >"$T/busy"
push b r full >/dev/null
eventually 5 "lines seen" 1 "a request that will end as full is on its way"
push b q wait >/dev/null
eventually 5 "lines seen" 2 "another is told to come back in 3 s"
eventually 5 "topic b q/wait busy" 1 "and has been heard"
ok "then the first one ends, with no such wish" curl -fsS "http://127.0.0.1:$(<"$T/web.port")/let"
eventually 15 "lines seen" 4 "both come again"
gap=$(($(sed -n 3p "$T/seen" | cut -d' ' -f2) - $(sed -n 2p "$T/seen" | cut -d' ' -f2)))
ok "after the longer of the two pauses ($gap ms)" test "$gap" -ge 2900
eventually 5 "topic b q/wait done" 1 "done"
is "$(topic b q/wait failed) $(topic b r/full failed)" "0 0" "no attempt was counted"
done_testing
