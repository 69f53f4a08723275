#!/usr/bin/env bash
# A topic changes the way its worker is called, by reloads under load: cgi, http, exec and back. Every
# acknowledged job is handled, each by the one file that serves all three, and no attempt fails.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-cli curl php nginx

web=$(free_port)
cat >"$T/worker.php" <<PHP
<?php
require '$ROOT/sdk/php/autoload.php';
class Worker {
    public function run(Pepper\Bus\Job \$job) {
        \$way = PHP_SAPI === 'cli' ? 'exec' : (isset(\$_SERVER['NGINX']) ? 'http' : 'cgi');
        file_put_contents('$T/handled', "\$job->id \$way\n", FILE_APPEND | LOCK_EX);
    }
}
PepperBus::getInstance()->register('q', 'one', 'Worker', 'run')->do();
PHP
ini() { # WAY
  printf '[storage main]\naddress = unix:%s/redis.sock\n' "$T"
  printf '[pool php]\nrun_type = cgi\naddress = unix:%s/fpm.sock\nmax_connections = 4\n' "$T"
  printf '[queue q]\npassword = pw\n[topic q/one]\nworkers = 4\n'
  case $1 in
  cgi) printf 'pool = php\nentry = %s\n' "$T/worker.php" ;;
  http) printf 'run_type = http\nentry = http://127.0.0.1:%s/\n' "$web" ;;
  exec) printf 'run_type = exec\nentry = %s %s\n' "$(command -v php)" "$T/worker.php" ;;
  esac
}
ways() { cut -d' ' -f2 "$T/handled" | sort | uniq -c | awk '{ print $2 }' | tr '\n' ' '; }
run_type() { topic b q/one run_type; }

start_redis redis
start_fpm fpm 6
start_nginx "$web" <<NGINX
  access_log off;
  server {
    listen 127.0.0.1:$web;
    location / {
      fastcgi_pass unix:$T/fpm.sock;
      fastcgi_param SCRIPT_FILENAME $T/worker.php;
      fastcgi_param REQUEST_METHOD \$request_method;
      fastcgi_param CONTENT_TYPE \$content_type;
      fastcgi_param CONTENT_LENGTH \$content_length;
      fastcgi_param NGINX yes;
    }
  }
NGINX
ini cgi | conf b
start_broker b
eventually 10 "topic_state b q/one" open "the topic opens"

# Jobs for as long as the topic changes.
(
  while [[ ! -e $T/enough ]]; do push_ids b q {1..20} >>"$T/acknowledged"; done
) &
PID[producer]=$!
for way in http exec cgi exec http cgi http exec; do
  ini "$way" | conf b
  kill -HUP "${PID[b]}"
  wait_until 10 equals run_type "$way" || note "$way: the reload took long"
  n=$(lines handled)
  wait_until 20 bash -c "(( \$(wc -l <'$T/handled') > $n + 30 ))" || note "$way: few jobs"
done
: >"$T/enough"
wait "${PID[producer]}"
unset "PID[producer]"
ini cgi | conf b # the quickest, for what has piled up
kill -HUP "${PID[b]}"

ok "every job was acknowledged" test "$(grep -c '^[0-9]*$' "$T/acknowledged")" = "$(lines acknowledged)"
eventually 60 "comm -23 <(sort '$T/acknowledged') <(cut -d' ' -f1 '$T/handled' | sort -u) | wc -l" 0 "acknowledged minus handled"
is "$(ways)" "cgi exec http " "all three ways were gone"
is "$(cut -d' ' -f1 "$T/handled" | sort | uniq -d | wc -l)" 0 "each job once"
is "$(topic b q/one failed) $(topic b q/one dead)" "0 0" "no attempt failed"
note "$(lines acknowledged) jobs: $(cut -d' ' -f2 "$T/handled" | sort | uniq -c | tr -s ' \n' ' ')"
done_testing
