"""Dead jobs by the thousand, written into a storage as the broker writes them (doc/store-layout.md)."""

import time


def bury(redis, path, n, first=1, content=b"x", died_ms=None, kind="x", code=500, message="no luck"):
    """Puts n dead jobs (kind "r": waiting retries, due in an hour) of topic `path` there; their ids."""
    queue, topic = path.split("/")
    key = f"pb:{{{queue}}}:%s:{topic}"
    now = int(time.time() * 1000)
    at = died_ms or now - 1000
    score = at if kind == "x" else now + 3600000
    field, node = "1:2130706433:12017", "old"
    record = f"1 0 {at} {at} {code} {len(field)} {len(node)}\n{field}{node}{message}"
    ids = [(1 << 63) + (first + i) for i in range(n)]
    with redis.client() as c:
        for start in range(0, n, 1000):
            part = ids[start:start + 1000]
            out = [c.encode("ZADD", key % kind, *[w for i in part for w in (score, i)]),
                   c.encode("HSET", key % "h", *[w for i in part for w in (i, record)]),
                   c.encode("HSET", key % "b", *[w for i in part for w in (i, i.to_bytes(8, "big") + b"\0" + content)])]
            c.raw(b"".join(out))
            for _ in out:
                c.recv()
    return [str(i) for i in ids]
