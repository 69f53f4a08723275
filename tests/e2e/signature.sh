#!/usr/bin/env bash
# Signed requests: a PHP worker that nginx makes reachable for everybody takes only those that the
# broker signed; what operators are told where keys differ; a change of keys that costs no attempt.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli php nginx openssl curl

web=$(free_port)
OLD=$(openssl rand -hex 16) NEW=$(openssl rand -hex 16)
start_redis redis
start_fpm fpm 4
start_nginx "$web" <<NGINX
  access_log off;
  server {
    listen 127.0.0.1:$web;
    location = /worker.php {
      fastcgi_pass unix:$T/fpm.sock;
      fastcgi_param SCRIPT_FILENAME $WORKERS/sdk-signed.php;
      fastcgi_param REQUEST_METHOD \$request_method;
      fastcgi_param CONTENT_TYPE \$content_type;
      fastcgi_param CONTENT_LENGTH \$content_length;
    }
  }
NGINX

topics() { # signing key
  cat <<INI
[storage main]
address = unix:$T/redis.sock
[pool php]
run_type = cgi
address = unix:$T/fpm.sock
max_connections = 2
[queue q]
password = pw
[topic q/web]
run_type = http
entry = http://127.0.0.1:$web/worker.php
attempts = 2
chunk = 5
timeout = 12s
workers = 1
$1
[topic q/fpm]
pool = php
entry = $WORKERS/sdk-signed.php
attempts = 2
$1
INI
}
reconf() { # signing key
  topics "$1" | conf b
  kill -HUP "${PID[b]}"
}
keys() { # the worker's; it never sees half of them
  printf '%s\n' "$@" >"$T/keys.new"
  mv "$T/keys.new" "$T/keys"
}
why() { ctl b topic show "$1"; }
both() { echo "$(topic_state b q/web) $(topic_state b q/fpm)"; }

# The same key on both sides.
keys "$OLD"
topics "signing_key = $OLD" | conf b
start_broker b
eventually 10 both "open open" "both topics open"
push b q ü "a & b" 'c=%41' >/dev/null
eventually 10 "lines ran.web; lines ran.fpm" $'3\n3' "their jobs run"

# Strangers.
form='IS_PEPPER_BUS_REQUEST=true&type=data&queue=q&topic=web&outTraceId=x&jobs=%5B%7B%22id%22%3A%221%22%2C%22content%22%3A%22evil%22%7D%5D'
stranger() { # [header...]
  local args=(-H 'IS-PEPPER-BUS-REQUEST: true') header
  for header; do args+=(-H "$header"); done
  curl -sS -D - "${args[@]}" -d "$form" "http://127.0.0.1:$web/worker.php" | tr -d '\r'
}
sign() { # key time
  echo "X-Pepperbus-Signature: t=$2,v2=$(printf '%s\nform\nq/web\n%s' "$2" "$form" | openssl dgst -sha256 -hmac "$1" -r | cut -d' ' -f1)"
}
got=$(stranger)
like "$got" "Code: 403" "a stranger's job is refused"
like "$got" "has no signature" "for want of a signature"
like "$(stranger "$(sign "some other key" "$(date +%s)")")" "Code: 403.*does not match" "with a key of his own as well"
like "$(stranger "$(sign "$OLD" $(($(date +%s) - 400)))")" "Code: 403.*made 4[0-9][0-9] s ago" "and an old one of ours"
form=${form/type=data/type=ping} got=$(stranger)
like "$got" "Code: 403" "a ping is refused too"
unlike "$got" "q/web" "and tells nothing of the topics"
is "$(lines ran.web)" 3 "no job of a stranger ran"
like "$(stranger "$(sign "$OLD" "$(date +%s)")")" "Code: 200" "the same, signed with the right key, is taken"

# The worker's key is another: jobs wait, and the operator reads why.
keys "$NEW"
like "$(op b q/fpm ping)" "403: the signature does not match: the topic's signing_key is not the key of this worker" \
  "a ping tells that the keys differ"
stop b
topics "signing_key = $OLD" | conf b
start_broker b
eventually 10 both "unregistered unregistered" "the topics are not open"
push b q later >/dev/null
like "$(why q/web)" "signature does not match" "and say why"
is "$(topic b q/web failed) $(topic b q/fpm failed)" "0 0" "no attempt is spent"
reconf "signing_key = $NEW"
eventually 10 both "open open" "with the worker's key they open"
eventually 10 "lines ran.web; lines ran.fpm" $'4\n4' "and what waited runs"
reconf ""
eventually 10 both "unregistered unregistered" "without a key the worker refuses"
like "$(why q/fpm)" "has no signature" "and says why"
for file in b.log fpm.php.log; do
  unlike "$(cat "$T/$file" 2>/dev/null)" "$OLD|$NEW" "no key is in $file"
done

# A change of keys under load: worker first, then broker, then the old one goes.
reconf "signing_key = $NEW"
eventually 10 both "open open" "open again"
base=$(lines ran.web)
for i in {1..20}; do push b q "a$i" >/dev/null; done
keys "$OLD" "$NEW"
for i in {1..20}; do push b q "b$i" >/dev/null; done
reconf "signing_key = $OLD"
for i in {1..20}; do push b q "c$i" >/dev/null; done
eventually 20 "lines ran.web; lines ran.fpm" "$((base + 60))"$'\n'"$((base + 60))" "sixty jobs over a change of keys"
is "$(awk '$2 > 1' "$T/ran.web" "$T/ran.fpm" | wc -l)" 0 "each at its first attempt"
keys "$OLD"
push b q last >/dev/null
eventually 10 "lines ran.web; lines ran.fpm" "$((base + 61))"$'\n'"$((base + 61))" "and with the old one gone"

# The timeout reaches the worker over http as well: the rest of a chunk goes back in time.
# Its two jobs take more than that, and one of them leaves a machine that stands still some seconds.
push b q 'slow 6300' 'slow 6301' >/dev/null
eventually 20 "lines ran.web" $((base + 63)) "a chunk longer than the timeout"
is "$(awk '$2 > 1' "$T/ran.web" | wc -l)" 0 "costs no attempt"
is "$(topic b q/web failed) $(topic b q/web timeout)" "0 0" "nothing failed"
done_testing
