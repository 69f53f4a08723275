#!/usr/bin/env python3
# A resident worker: a line of JSON comes in, a line of JSON goes out. See doc/exec.md.
#   entry = /srv/app/worker.py       resident = yes
import json, sys

for line in sys.stdin:
    request = json.loads(line)
    try:
        said = ["got " + job["content"] for job in request.get("jobs", [])]
        answer = {"code": 200, "msg": ", ".join(said)}
    except Exception as error:
        answer = {"code": 500, "msg": repr(error)}
    print(json.dumps(answer), flush=True)
