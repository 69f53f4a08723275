#!/usr/bin/env bash
# Jobs over HTTP: a real nginx in front of a real php-fpm with the SDK's worker, TLS with a CA and a
# client certificate of our own, a unix socket, IPv6, several addresses, webhooks, and HTTP/2 servers
# in Node.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php nginx node openssl

# --- certificates: a CA, a server's, a server's of another name, a client's, another CA ---

certificate() { # NAME CA subject-alternative-name
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
    -keyout "$T/$1.key" -out "$T/$1.csr" 2>>"$T/openssl.log"
  openssl x509 -req -in "$T/$1.csr" -CA "$T/$2.pem" -CAkey "$T/$2.key" -CAcreateserial -days 2 \
    -extfile <(echo "subjectAltName = $3") -out "$T/$1.pem" 2>>"$T/openssl.log"
}
for ca in ca other-ca; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$ca" \
    -keyout "$T/$ca.key" -out "$T/$ca.pem" 2>>"$T/openssl.log"
done
certificate server ca "IP:127.0.0.1, DNS:worker.example"
certificate wrong-name ca "DNS:elsewhere.example"
certificate client ca "DNS:bus"
openssl pkey -in "$T/client.key" -aes256 -passout pass:opensesame -out "$T/client.locked" 2>>"$T/openssl.log"

# --- nginx ---

mkdir -p "$T/www"
plain=$(free_port) tls=$(free_port) mtls=$(free_port) wrong=$(free_port) v6=$(free_port)
hook=$(free_port) lazy=$(free_port) h2c=$(free_port) h2s=$(free_port)
V6=
[[ ! -e /proc/net/if_inet6 ]] || ! grep -q '^0*1 ' /proc/net/if_inet6 || V6="listen [::1]:$v6;"
start_web() {
  start_nginx "$plain" <<NGINX
  log_format seen '\$server_port \$server_protocol \$connection \$status \$request_uri';
  access_log $T/access seen;
  client_max_body_size 16m;
  root $T/www;
  ssl_certificate $T/server.pem;
  ssl_certificate_key $T/server.key;
  ssl_session_cache off;
  server {
    listen 127.0.0.1:$plain;
    listen 127.0.0.1:$tls ssl http2;
    listen unix:$T/web.sock;
    $V6
    if (-f $T/busy) { return 503; }
    add_header Retry-After 1 always;
    location = /moved { return 301 http://127.0.0.1:$plain/sdk.php; }
    location = /static { default_type text/plain; return 200 "hello"; }
    location ~ \.php\$ {
      fastcgi_pass unix:$T/fpm.sock;
      fastcgi_param SCRIPT_FILENAME \$document_root\$fastcgi_script_name;
      fastcgi_param REQUEST_METHOD \$request_method;
      fastcgi_param CONTENT_TYPE \$content_type;
      fastcgi_param CONTENT_LENGTH \$content_length;
      fastcgi_param REQUEST_URI \$request_uri;
      fastcgi_param SERVER_PROTOCOL \$server_protocol;
    }
  }
  server {
    listen 127.0.0.1:$mtls ssl;
    ssl_client_certificate $T/ca.pem;
    ssl_verify_client on;
    location = /sdk.php {
      fastcgi_pass unix:$T/fpm.sock;
      fastcgi_param SCRIPT_FILENAME $T/www/sdk.php;
      fastcgi_param REQUEST_METHOD \$request_method;
      fastcgi_param CONTENT_TYPE \$content_type;
      fastcgi_param CONTENT_LENGTH \$content_length;
    }
  }
  server {
    listen 127.0.0.1:$wrong ssl;
    ssl_certificate $T/wrong-name.pem;
    ssl_certificate_key $T/wrong-name.key;
    location = /sdk.php { return 404; }
  }
NGINX
}

# Every topic's worker in one file; what it did stands in $T/handled.TOPIC.
topics=(sdk chunk tls tls1 noverify mtls locked unix v6 many busy signed node nodetls badca badname nocert)
cat >"$T/www/sdk.php" <<PHP
<?php
require '$ROOT/sdk/php/autoload.php';
use Pepper\Bus\Job;
use Pepper\Bus\PepperBus;
class Worker {
    public function run(Job \$job) {
        \$line = "\$job->id \$job->attempt \$job->content\n";
        if (strncmp(\$job->content, 'sleep:', 6) === 0) usleep(1000 * (int) substr(\$job->content, 6));
        if (\$job->content === 'bad' && \$job->attempt === 1) throw new RuntimeException('not this one');
        if (\$job->topic === 'signed') file_put_contents("$T/signature",
            (\$_SERVER['HTTP_X_PEPPERBUS_SIGNATURE'] ?? '') . "\n" . file_get_contents('php://input'));
        file_put_contents("$T/handled.\$job->topic", \$line, FILE_APPEND | LOCK_EX);
        return 'done';
    }
}
if ((\$_POST['type'] ?? '') === 'data')
    file_put_contents("$T/requests.\$_POST[topic]", count(json_decode(\$_POST['jobs'])) . "\n", FILE_APPEND | LOCK_EX);
\$bus = PepperBus::getInstance();
foreach (explode(' ', '${topics[*]}') as \$topic) \$bus->register('q' . \$topic, \$topic, 'Worker', 'run');
\$bus->do();
PHP
printf '<?php http_response_code(200); echo "no verdict here";' >"$T/www/plain.php"

# --- Node: a webhook, and HTTP/2 with and without TLS ---

cat >"$T/server.js" <<'JS'
const fs = require('fs'), http = require('http'), http2 = require('http2'), net = require('net');
const [dir, hook, lazy, h2c, h2s] = process.argv.slice(2);
const read = (stream, done) => {
  const parts = [];
  stream.on('data', (part) => parts.push(part));
  stream.on('end', () => done(Buffer.concat(parts)));
};
http.createServer((req, res) => read(req, (body) => {
  fs.appendFileSync(`${dir}/hooked`, JSON.stringify({url: req.url, method: req.method,
    headers: req.headers, body: body.toString('base64')}) + '\n');
  res.statusCode = body.toString() === 'refuse' ? 422 : 202;
  res.end(body.toString() === 'refuse' ? 'no such order' : 'thanks');
})).listen(Number(hook), '127.0.0.1');
// Accepts at once, and reads when it is told to. One on which nothing was sent has closed.
net.createServer({pauseOnConnect: true}, (socket) => {
  fs.appendFileSync(`${dir}/lazy.accepted`, '\n');
  socket.on('data', (part) => fs.appendFileSync(`${dir}/lazy`, part)).on('error', () => {})
    .on('close', () => socket.bytesRead || fs.appendFileSync(`${dir}/lazy.empty`, '\n'));
  const wait = setInterval(() => {
    if (!fs.existsSync(`${dir}/lazy.reads`)) return;
    clearInterval(wait);
    socket.resume();
  }, 20);
}).listen(Number(lazy), '127.0.0.1');
let sessions = 0, refused = 0;
const worker = (stream, headers) => read(stream, (body) => {
  const form = new URLSearchParams(body.toString());
  if (!form.get('type')) return; // the connection ended within it
  fs.appendFileSync(`${dir}/came.${form.get('topic')}`,
    `${headers[':authority']} ${headers['x-shop']} over ${stream.session && stream.session.number}\n`);
  const answer = {':status': 200, code: '200'};
  let after = 2;
  if (form.get('type') === 'ping') {
    answer['consume-topics'] = 'qnode/node,qnodetls/nodetls,qbrief/brief,qrude/rude';
  } else if (form.get('topic') === 'rude') {
    const [job] = JSON.parse(form.get('jobs'));
    if (job.content === 'refused' && ++refused <= 3) /* who refuses has not looked at it */
      return stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    fs.appendFileSync(`${dir}/handled.rude`, `${job.id} ${job.RetryTimes} ${job.content}\n`);
    const rude = job.RetryTimes === 1 ? job.content : '';
    if (rude === 'reset') return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    if (rude === 'destroy') return stream.session.destroy();
    if (rude === 'hang') return undefined;
    if (rude === 'goaway') stream.session.goaway(http2.constants.NGHTTP2_NO_ERROR);
    if (rude === 'half') {
      stream.respond(answer);
      stream.write('half of it');
      return setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), 20);
    }
  } else {
    for (const job of JSON.parse(form.get('jobs'))) {
      fs.appendFileSync(`${dir}/handled.${form.get('topic')}`, `${job.id} ${job.RetryTimes} ${job.content}\n`);
      if (job.content === 'slow') after = 1000;
    }
  }
  setTimeout(() => {
    if (stream.destroyed) return;
    stream.respond(answer);
    stream.end('done');
  }, after);
});
for (const [server, port] of [
  [http2.createServer(), h2c],
  [http2.createSecureServer({key: fs.readFileSync(`${dir}/server.key`),
    cert: fs.readFileSync(`${dir}/server.pem`), allowHTTP1: false}), h2s]]) {
  server.on('session', (session) => { session.number = ++sessions; });
  server.on('sessionError', () => {});
  server.on('stream', (stream, headers) => worker(stream.on('error', () => {}), headers));
  server.listen(Number(port), '127.0.0.1');
}
JS
(cd "$T" && exec node server.js "$T" "$hook" "$lazy" "$h2c" "$h2s" >>"$T/node.log" 2>&1) &
PID[node]=$!

# --- the broker ---

queue() { printf '[queue q%s]\npassword = pw\n' "$1"; }
topic_ini() { # NAME lines: a queue of its own, so that one's troubles are its own
  queue "$1"
  printf '[topic q%s/%s]\nrun_type = http\nbackoff = 50ms..200ms\n' "$1" "$1"
  [[ "${*:2}" == *'attempts = '* ]] || echo 'attempts = 3'
  printf '%s\n' "${@:2}"
}
pool_ini() { printf '[pool %s]\nrun_type = http\n' "$1"; printf '%s\n' "${@:2}"; }
write_conf() {
  {
    printf '[storage main]\naddress = unix:%s\n' "$T/redis.sock"
    pool_ini web "address = unix:$T/web.sock" 'max_connections = 8'
    pool_ini several "address = 127.0.0.1:1, 127.0.0.1:$plain, unix:$T/none.sock, unix:$T/web.sock" \
      'max_connections = 8' 'connect_timeout = 500ms'
    pool_ini busy 'max_connections = 8'
    pool_ini brief 'max_connections = 8' 'idle_timeout = 200ms'
    pool_ini lazy 'hangup_after = 10m'
    topic_ini sdk "entry = http://127.0.0.1:$plain/sdk.php" 'workers = 4' 'attempts = 8'
    topic_ini chunk "entry = http://127.0.0.1:$plain/sdk.php?chunk" 'chunk = 10' 'chunk_wait = 6s'
    topic_ini tls "entry = https://127.0.0.1:$tls/sdk.php" "ca_file = $T/ca.pem"
    topic_ini tls1 "entry = https://127.0.0.1:$tls/sdk.php" "ca_file = $T/ca.pem" 'http_version = 1.1' \
      'pool = brief'
    topic_ini noverify "entry = https://127.0.0.1:$tls/sdk.php" 'verify = no'
    topic_ini mtls "entry = https://127.0.0.1:$mtls/sdk.php" "ca_file = $T/ca.pem" \
      "client_cert = $T/client.pem" "client_key = $T/client.key"
    topic_ini locked "entry = https://127.0.0.1:$mtls/sdk.php" "ca_file = $T/ca.pem" \
      "client_cert = $T/client.pem" "client_key = $T/client.locked" 'client_key_password = opensesame'
    topic_ini nocert "entry = https://127.0.0.1:$mtls/sdk.php" "ca_file = $T/ca.pem"
    topic_ini badca "entry = https://127.0.0.1:$tls/sdk.php" "ca_file = $T/other-ca.pem"
    topic_ini notls "entry = https://127.0.0.1:$plain/sdk.php"
    topic_ini badname "entry = https://127.0.0.1:$wrong/sdk.php" "ca_file = $T/ca.pem"
    topic_ini unix 'pool = web' 'entry = http://worker.example/sdk.php'
    [[ ! $V6 ]] || topic_ini v6 "entry = http://[::1]:$v6/sdk.php"
    topic_ini many 'pool = several' 'entry = http://worker.example/sdk.php'
    topic_ini busy 'pool = busy' "entry = http://127.0.0.1:$plain/sdk.php"
    topic_ini signed "entry = http://127.0.0.1:$plain/sdk.php" 'signing_key = a-key-of-thirty-two-characters-..'
    topic_ini moved "entry = http://127.0.0.1:$plain/moved"
    topic_ini static "entry = http://127.0.0.1:$plain/static"
    topic_ini hook "entry = http://127.0.0.1:$hook/orders?shop=7" 'body = content' \
      'content_type = application/json' 'header = X-Shop: 7' 'authorization = Bearer hunter2' \
      'host = orders.example'
    topic_ini lazy 'pool = lazy' "entry = http://127.0.0.1:$lazy/" 'body = content' 'timeout = 500ms'
    topic_ini node "entry = http://127.0.0.1:$h2c/" 'http_version = 2-prior' 'workers = 20'
    topic_ini nodetls "entry = https://127.0.0.1:$h2s/" "ca_file = $T/ca.pem" 'workers = 20' \
      'host = bus.example' 'header = X-Shop: 7'
    topic_ini rude "entry = https://127.0.0.1:$h2s/" "ca_file = $T/ca.pem" 'workers = 4' 'timeout = 1s' \
      'attempts = 20' # one job's rudeness is another one's failed attempt, and the machine may be slow
    topic_ini brief "entry = https://127.0.0.1:$h2s/" "ca_file = $T/ca.pem" 'pool = brief' 'workers = 4'
  } | conf b
}
start_redis redis
start_fpm fpm 4
start_web
wait_until 10 port_open "$h2s"
write_conf
start_broker b
state() { topic_state b "q$1/$1"; }
why() { topic b "q$1/$1" why; }
count() { topic b "q$1/$1" "$2"; }
handled() { # whole lines: one may be half written
  if [[ -e $T/handled.$1 ]]; then head -n "$(runs "$1")" "$T/handled.$1" | cut -d' ' -f1 | sort -u | wc -l; else echo 0; fi
}
runs() { lines "handled.$1"; }

# nginx and php-fpm, with the SDK.
eventually 10 "state sdk" open "a worker behind nginx is registered"
push b qsdk $(seq 300) >/dev/null
eventually 20 "handled sdk" 300 "300 jobs through nginx and php-fpm"
is "$(runs sdk) $(count sdk failed)" "300 0" "none twice, none failed"
push b qsdk bad >/dev/null
eventually 10 "handled sdk" 301 "an exception, then the next attempt"
like "$(op b qsdk/sdk errors)" 'RuntimeException: not this one' "the error says which"
like "$(op b qsdk/sdk test '{"content": "by hand"}')" '"code": ?200' "test answers 200"
metrics() { curl -sS "http://$(admin b)/metrics"; }
like "$(metrics)" 'pepperbus_http_connections_reused_total' "connections that are used again are counted"
is "$(head -c 4000000 /dev/zero | tr '\0' x | redis-cli --no-auth-warning -s "$T/b.bus" -a qsdk:pw -x LPUSH qsdk | grep -c jobs)" 1 "a job of 4 MB is added"
eventually 20 "handled sdk" 303 "and handled"

# Several jobs in a request, each with its own outcome.
eventually 10 "state chunk" open "chunk = 10"
push b qchunk 1 2 3 4 bad 6 7 8 9 10 >/dev/null
eventually 10 "handled chunk" 10 "ten jobs, one of which fails at first"
eventually 10 "count chunk done" 10 "all are done"
is "$(runs chunk) $(count chunk failed)" "10 1" "that one alone was run again"
is "$(tr '\n' ' ' <"$T/requests.chunk")" "10 1 " "ten in one request, the one in another"

# TLS.
eventually 10 "state tls" open "TLS with a CA of our own"
push b qtls $(seq 50) >/dev/null
eventually 10 "handled tls" 50 "50 jobs over TLS"
like "$(grep "^$tls HTTP/2" "$T/access" | head -1)" 'HTTP/2.0' "as HTTP/2, which TLS agreed on"
eventually 10 "state tls1" open "http_version = 1.1"
push b qtls1 $(seq 20) >/dev/null
eventually 10 "handled tls1" 20 "20 jobs over TLS and HTTP/1.1"
idle() { [[ $(api b GET /api/v1/status | json '(function ($all) { foreach ($all as $p) if ($p["name"] === "brief") return $p["health_text"]; })($j["pools"])') == "0 connections" ]]; }
ok "connections with TLS are let go after idle_timeout" wait_until 10 idle
push b qtls1 21 22 23 >/dev/null
eventually 10 "handled tls1" 23 "and made anew"
is "$(count tls1 failed)" 0 "without a failed attempt"
eventually 10 "state noverify" open "verify = no"
eventually 10 "state mtls" open "a client certificate"
eventually 10 "state locked" open "one whose key has a password"
push b qlocked 1 2 3 >/dev/null
eventually 10 "handled locked" 3 "3 jobs with it"
eventually 10 "state badca" unreachable "a certificate of a strange CA"
like "$(why badca)" 'certificate' "says that it is the certificate"
like "$(why badca)" 'issuer|unable to get' "and what is wrong with it"
eventually 10 "state badname" unreachable "a certificate of another name"
like "$(why badname)" 'name' "says that it is the name"
eventually 10 "state notls" unreachable "https:// to a port without TLS"
like "$(why notls)" 'does not speak TLS at this port: http://' "says so"
push b qbadname 1 2 >/dev/null
is "$(count badname failed)" 0 "neither costs an attempt"
eventually 10 "state nocert" unregistered "no client certificate where one is wanted"
like "$(why nocert)" '400.*(certificate|SSL)' "says so"

# Ways to the server.
eventually 10 "state unix" open "a unix socket"
push b qunix $(seq 50) >/dev/null
eventually 10 "handled unix" 50 "50 jobs over it"
if [[ $V6 ]]; then
  eventually 10 "state v6" open "IPv6"
  push b qv6 1 2 3 >/dev/null
  eventually 10 "handled v6" 3 "3 jobs over it"
else
  skip "IPv6" "this machine has none"
fi
eventually 10 "state many" open "four addresses, two of them dead"
push b qmany $(seq 200) >/dev/null
eventually 20 "handled many" 200 "200 jobs over the other two"
is "$(runs many) $(count many failed)" "200 0" "none twice, none failed"
like "$(<"$T/b.log")" 'cannot reach 127.0.0.1:1: .*using the other addresses' "the log names the dead one"

# Busy, redirects, no verdict.
eventually 10 "state busy" open "before it is busy"
: >"$T/busy"
push b qbusy $(seq 10) >/dev/null
was_busy() { (($(count busy busy) > 0)); }
ok "503: busy" wait_until 10 was_busy
is "$(count busy failed)" 0 "no attempt is counted"
rm "$T/busy"
eventually 10 "handled busy" 10 "and when it is not any more, the jobs are handled"
is "$(runs busy)" 10 "each once"
eventually 10 "state moved" unregistered "a redirect is not followed"
like "$(why moved)" "a redirect to http://127.0.0.1:$plain/sdk.php" "and named"
eventually 10 "state static" unregistered "a page that is no worker"
like "$(why static)" 'no Code header.*hello' "says what it is, and quotes it"

# A signature.
eventually 10 "state signed" open "a signing key"
push b qsigned 'sign me' >/dev/null
eventually 10 "handled signed" 1 "a signed job"
# shellcheck disable=SC2016
is "$(php -r '[$line, $body] = explode("\n", file_get_contents($argv[1]), 2);
  preg_match("/^t=(\d+),v2=([0-9a-f]{64})$/", $line, $m) || exit("no signature: $line");
  echo hash_equals(hash_hmac("sha256", "$m[1]\nform\nqsigned/signed\n$body", "a-key-of-thirty-two-characters-.."), $m[2]) ? "right" : "wrong";' \
  "$T/signature")" right "its signature is right"

# A webhook.
eventually 10 "state hook" open "a webhook"
id=$(push_ids b qhook '{"order": 1}')
eventually 10 "lines hooked" 1 "is called"
hooked() { tail -1 "$T/hooked" | json "$1"; }
is "$(hooked '$j["url"]') $(hooked '$j["method"]')" '/orders?shop=7 POST' "at its URL"
is "$(hooked 'base64_decode($j["body"])')" '{"order": 1}' "with the job's bytes"
is "$(hooked '$j["headers"]["x-pepperbus-job-id"]')" "$id" "its id"
is "$(hooked '$j["headers"]["idempotency-key"]')" "$id" "the same against a second run"
is "$(hooked '$j["headers"]["x-pepperbus-attempt"]') $(hooked '$j["headers"]["content-type"]')" \
  '1 application/json' "its attempt and type"
is "$(hooked '$j["headers"]["host"]') $(hooked '$j["headers"]["x-shop"]') $(hooked '$j["headers"]["authorization"]')" \
  'orders.example 7 Bearer hunter2' "host, header and authorization"
like "$(hooked '$j["headers"]["traceparent"]')" '^00-[0-9a-f]{32}-[0-9a-f]{16}-01$' "and the trace"
eventually 10 "count hook done" 1 "any 2xx is done"
push b qhook refuse >/dev/null
eventually 10 "count hook dead" 1 "422 until the attempts are used up: dead"
is "$(lines hooked)" 4 "after three attempts"
like "$(op b qhook/hook errors)" 'status 422.*no such order' "the error quotes the answer"
printf 'a\0b\r\n\xff\xfe' >"$T/bytes"
redis-cli --no-auth-warning -s "$T/b.bus" -a qhook:pw -x LPUSH qhook <"$T/bytes" >/dev/null
eventually 10 "lines hooked" 5 "bytes that are no text"
is "$(hooked '$j["body"]')" "$(base64 -w0 <"$T/bytes")" "are the body as they are"
unlike "$(cat "$T/b.log") $(api b GET /api/v1/topics/qhook/hook) $("$PEPPERBUSD" -c "$T/b.ini" --dump-config)" \
  hunter2 "the authorization is shown nowhere"

# A webhook that reads the body only when the job's time is over gets the job's bytes all the same.
eventually 10 "state lazy" open "a webhook that does not read"
head -c 8000000 /dev/zero | tr '\0' '~' | redis-cli --no-auth-warning -s "$T/b.bus" -a qlazy:pw -x LPUSH qlazy >"$T/reply"
eventually 10 "count lazy dead" 1 "the job is out of time, three times"
push b qsdk $(seq 50) >/dev/null # its memory is wanted by others
eventually 10 "handled sdk" 353 "others go on"
: >"$T/lazy.reads"
# An attempt that has not reached the server by then is not sent.
sent() { echo $(($(lines lazy.accepted) - $(lines lazy.empty))); }
all_read() { (($(sent) > 0 && $(tr -dc '~' <"$T/lazy" | wc -c) == $(sent) * 8000000)); }
ok "the rest of all requests is sent" wait_until 10 all_read
note "$(sent) of three had reached the server"
ok "the job's own bytes behind each head" test "$(tr -d '~' <"$T/lazy" | wc -c)" -lt 3000

# HTTP/2 in Node.
eventually 10 "state node" open "HTTP/2 without TLS"
push b qnode $(seq 400) >/dev/null
eventually 20 "handled node" 400 "400 jobs, 20 at a time"
is "$(runs node) $(count node failed)" "400 0" "none twice, none failed"
eventually 10 "state nodetls" open "HTTP/2 within TLS"
push b qnodetls $(seq 400) >/dev/null
eventually 20 "handled nodetls" 400 "400 jobs, 20 at a time"
is "$(runs nodetls) $(count nodetls failed)" "400 0" "none twice, none failed"
is "$(sed 's/ over .*//' "$T/came.nodetls" | sort -u)" "bus.example 7" "host and headers of its own in HTTP/2 too"
# What the jobs came over: a ping may have had a connection of its own.
ok "over at most two connections" test "$(tail -n 400 "$T/came.nodetls" | sort -u | wc -l)" -le 2
eventually 10 "state rude" open "HTTP/2 with a rude server"
push b qrude refused >/dev/null # by itself: what ends a connection ends all attempts on it
eventually 10 "count rude done" 1 "a stream refused: done in the end"
for how in reset destroy half hang goaway; do push b qrude "$how" >/dev/null; done
eventually 20 "count rude done" 6 "streams reset, half answered, left alone: done in the end"
is "$(grep -c refused "$T/handled.rude")" 1 "refused three times, and handled once"
is "$(sort "$T/handled.rude" | uniq -d)" "" "no attempt was sent twice"
ok "and none without being counted" test "$(runs rude)" -le "$(count rude attempts)"
eventually 10 "state brief" open "HTTP/2 with a short idle_timeout"
push b qbrief 1 2 3 >/dev/null
eventually 10 "handled brief" 3 "3 jobs"
ok "its connection is let go" wait_until 10 idle
push b qbrief 4 5 6 >/dev/null
eventually 10 "handled brief" 6 "and made anew"
ok "and let go once more" wait_until 10 idle
push b qbrief quick slow >/dev/null
eventually 10 "count brief done" 8 "whose first request is over long before the second on it"
is "$(count brief failed)" 0 "without a failed attempt"

# The server goes, and comes back.
stop nginx
push b qsdk $(seq 50) >/dev/null
eventually 10 "state sdk" unreachable "nginx is gone: unreachable"
failed=$(count sdk failed)
start_web
eventually 10 "handled sdk" 403 "back: the jobs are handled"
is "$(count sdk failed)" "$failed" "no attempt was counted"

# A reload of nginx under load: at most what crosses the end of a kept connection fails, once.
push b qsdk $(for ((i = 0; i < 1500; i++)); do echo sleep:1; done) >/dev/null
for _ in 1 2 3; do
  n=$(runs sdk)
  kill -HUP "${PID[nginx]}"
  wait_until 5 bash -c "(( \$(wc -l <'$T/handled.sdk') > $n + 100 ))" || true
done
eventually 30 "handled sdk" 1903 "nginx reloaded three times under load: every job is handled"
note "failed attempts: $(($(count sdk failed) - failed)), runs more than jobs: $(($(runs sdk) - 1903))"
ok "twice only where an attempt failed" test $(($(runs sdk) - 1903)) -le $(($(count sdk failed) - failed))

# What is wrong with the configuration is said with file and line.
cp "$T/b.ini" "$T/bad.ini"
printf '[topic qsdk/hook]\nrun_type = http\nentry = http://h/\nbody = content\nchunk = 2\n' >>"$T/bad.ini"
like "$("$PEPPERBUSD" -t -c "$T/bad.ini" 2>&1 || true)" 'bad.ini:[0-9]+: .*chunk = 1' "chunk and content"
printf '[topic qsdk/head]\nrun_type = http\nentry = http://h/\nheader = Content-Length: 3\n' >>"$T/b.ini"
like "$("$PEPPERBUSD" -t -c "$T/b.ini" 2>&1 || true)" 'b.ini:[0-9]+: .*Content-Length' "a header that is not to be set"
done_testing
