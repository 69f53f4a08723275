"""Compares what producers were told with what workers did, for one topic. Times are seconds of time.time().

A handling that was not the last is explained when it ended just before or just after a death of the broker or of
its worker: its outcome may be lost then. Nothing else may cause one. Time in which the machine stood still is no
time."""

from collections import Counter, defaultdict

# A Redis that is just back has much to catch up with: outcomes wait longer.
CATCHING_UP = 2.0


class Event:
    """What has happened to a broker, to Redis or to php-fpm. Only a death is a cause; the others are there to be
    read when something is not explained."""

    def __init__(self, kind, begin, end, death):
        self.kind, self.begin, self.end, self.death = kind, begin, end, death

    def __str__(self):
        return f"{self.kind} {self.begin:.3f} to {self.end:.3f}"


class Judge:
    """`acknowledged`: id -> (content, time); `handled`: (id, time, content) of each handling, in order; `dead`: ids;
    `slack`: how long an outcome may be on its way."""

    def __init__(self, acknowledged, handled, dead, events, stalls, slack):
        self.acknowledged, self.dead, self.stalls, self.slack = acknowledged, set(dead), stalls, slack
        self._stood_still = sum(b - a for a, b in stalls)
        self.also = [e for e in events if not e.death]
        self.deaths = [(e, self._before(e)) for e in sorted((e for e in events if e.death), key=lambda e: e.begin)]
        self.notes, self.mixed, self.total = [], 0, len(handled)
        self.handled = self._handled(handled)
        self.lost = [i for i in acknowledged if i not in self.handled and i not in self.dead]
        self.notes += [f"LOST: {i} {acknowledged[i][0]}, acknowledged at {acknowledged[i][1]:.3f}"
                       for i in self.lost[:20]]
        self.twice, self.unexplained, self.causes = 0, 0, Counter()
        for job, times in self.handled.items():
            self._judge(job, sorted(times))

    def _before(self, death):
        """How long before this death an outcome may have been on its way."""
        busy = any(e.kind.startswith("redis") and death.end >= e.begin and death.begin <= e.end + CATCHING_UP
                   for e in self.also)
        return (3 if busy else 1) * self.slack

    def _handled(self, handled):
        """id -> times of its handlings. Notes ids that had another content than they were given for."""
        found, ids = defaultdict(list), {}
        for job, at, content in handled:
            found[job].append(at)
            given = self.acknowledged.get(job, (content,))[0]
            if given != content:
                self._mix(f"id {job} was handled as {content}, added as {given}")
            if ids.setdefault(content, job) != job:
                self._mix(f"{content} was added once, and handled as {ids[content]} and as {job}")
        return found

    def _mix(self, note):
        self.mixed += 1
        self.notes.append(note)

    def _within(self, begin, end, limit):
        """Whether the machine had at most so many seconds for its work from one to the other."""
        length = end - begin
        return length <= limit or (length - self._stood_still <= limit
                                   and length - self.stalls.between(begin, end) <= limit)

    def cause(self, at):
        """Which death explains that what was handled then was handled again; None: nothing does."""
        for death, before in self.deaths:
            if self._within(at, death.begin, before) and self._within(death.end, at, self.slack):
                return death.kind
        return None

    def _judge(self, job, times):
        self.twice += len(times) > 1
        for at in times[:-1]:
            cause = self.cause(at)
            self.causes[cause or "UNEXPLAINED"] += 1
            if cause is None:
                self.unexplained += 1
                near = [str(e) for e in self.also if e.begin - self.slack <= at <= e.end + self.slack]
                self.notes.append(f"UNEXPLAINED: {job} handled at {times} {near}")

    def explained(self):
        """Every job that was handled more than once, with its causes."""
        return [f"twice: {job} at {sorted(times)} ({[self.cause(at) for at in sorted(times)[:-1]]})"
                for job, times in self.handled.items() if len(times) > 1]

    def _covered(self):
        """Per cent of the time that lies around deaths."""
        covered = end = 0.0
        for death, before in self.deaths:
            covered += max(0.0, death.end + self.slack - max(death.begin - before, end))
            end = max(end, death.end + self.slack)
        first, before = self.deaths[0]
        return round(100 * covered / max(0.001, end - first.begin + before))

    def summary(self, topic):
        lines = [f"{topic}: {len(self.acknowledged)} acknowledged, {len(self.handled)} handled in "
                 f"{self.total} attempts, {len(self.handled.keys() - self.acknowledged.keys())} of them never "
                 f"acknowledged, {len(self.dead)} dead, {len(self.lost)} lost, {self.twice} more than once"]
        lines += [f"  handled again after {kind}: {n}" for kind, n in self.causes.most_common()]
        if self.deaths:
            lines.append(f"  {len(self.deaths)} deaths, around which lies {self._covered()} % of the time")
            lines.append(f"  the machine stood still for {self._stood_still:.1f} s")
        return lines
