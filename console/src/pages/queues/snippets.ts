/** How a producer adds a job to this very queue, ready to be run. */
export function snippets(queue: string, host: string, port: string, password: string) {
  const php = (s: string) => `'${s.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const js = (s: string) => JSON.stringify(s);
  const sh = (s: string) => (/^[\w@%+=:,./-]+$/.test(s) ? s : `'${s.replaceAll("'", "'\\''")}'`);
  const owner = `${queue}:${password}`;
  return {
    php: `<?php
require 'vendor/autoload.php';   // composer require "pepper/bus:~1.0"

$BUS_CONF = ['password' => ${php(password)}, 'servers' => [['host' => ${php(host)}, 'port' => ${port}, 'timeout' => 3]]];
$id = PepperBus::getInstance()->addJob(${php(queue)}, ['hello' => 'world']);`,
    redis: `redis-cli -h ${sh(host)} -p ${port} --no-auth-warning -a ${sh(owner)} LPUSH ${sh(queue)} '{"hello": "world"}'`,
    python: `import json, redis   # pip install redis

bus = redis.Redis(host=${js(host)}, port=${port}, password=${js(owner)})
job = bus.execute_command("LPUSH", ${js(queue)}, json.dumps({"hello": "world"}))`,
    node: `import { createClient } from "redis";   // npm install redis

const bus = await createClient({ socket: { host: ${js(host)}, port: ${port} }, password: ${js(owner)} }).connect();
const id = await bus.sendCommand(["LPUSH", ${js(queue)}, JSON.stringify({ hello: "world" })]);`,
  };
}
