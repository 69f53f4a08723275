"""redis_py.py HOST PORT"""
import json
import sys

import redis

host, port = sys.argv[1], int(sys.argv[2])
said = []
r = redis.Redis(host=host, port=port, password="q:pw", client_name="py")
r.set_response_callback("LPUSH", bytes)  # it would make a bool of what is no number
said.append("ping" if r.ping() else "no ping")
reply = json.loads(r.lpush("q/t", b"\x00\xff", "b"))
said.append("push" if len(reply["jobs"]) == 2 else str(reply))
with r.pipeline(transaction=False) as p:
    for i in range(50):
        p.lpush("q", "job %d" % i)
    ids = {json.loads(x)["jobs"][0] for x in p.execute()}
said.append("pipeline" if len(ids) == 50 else "bad pipeline")
try:
    r.execute_command("NOSUCH")
    said.append("no error")
except redis.ResponseError as e:
    said.append("error" if "unknown command" in str(e) else str(e))
said.append("info" if "redis_version" in r.info() else "no info")
said.append("name" if r.client_getname() in ("py", b"py") else "no name")
try:
    redis.Redis(host=host, port=port, password="q:no").ping()
    said.append("let in")
except redis.RedisError:
    said.append("refused")
try:
    user = redis.Redis(host=host, port=port, username="q", password="pw").ping()
    said.append("user" if user else "no user")
except redis.RedisError as e:
    said.append(str(e))
print(" ".join(said))
