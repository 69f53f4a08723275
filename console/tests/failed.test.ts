import { describe, expect, it, vi } from "vitest";
import type { FailedGroups, JobPlace } from "../src/api/types";
import { courseOf } from "../src/pages/jobs/course";
import { addressOf, type Filter, filterOf, momentOf, narrowed, optionsOf, pinned, queryOf } from "../src/pages/topic/failed/filter";
import { added, matching, MOST } from "../src/pages/topic/failed/groups";
import { pieces } from "../src/pages/topic/failed/pieces";

vi.mock("@/api/client", () => ({ address: (path: string) => `http://broker/x${path}` }));
const { ctl, curl } = await import("../src/commands");

const of = (f: Partial<Filter>): Filter => filterOf((name) => f[name as keyof Filter] ?? "");

describe("a filter of failed jobs", () => {
  it("is all failed jobs where the address says nothing", () => {
    expect(queryOf(of({}))).toEqual({ set: "all" });
    expect(narrowed(of({}))).toBe(false);
    expect(addressOf(of({}))["set"]).toBe("");
  });
  it("takes texts as they are, and leaves out numbers that are none", () => {
    const f = of({ match: "50% /.#?中", code: "x", attempts_min: "3", set: "everything" });
    expect(queryOf(f)).toEqual({ set: "all", match: "50% /.#?中", attempts_min: 3 });
  });
  it("ends at the moment of its count, and begins at the same moment", () => {
    expect(pinned(of({ since: "1h", set: "dead" }), 7_200_000)).toEqual({ set: "dead", since: 3_600_000, until: 7_200_000 });
    expect(pinned(of({ until: "5" }), 9).until).toBe(5);
  });
  it("knows moments", () => {
    expect(momentOf("10m", 600_001)).toBe(1);
    expect(momentOf("17", 99)).toBe(17);
    expect(momentOf("soon", 1)).toBeNaN();
  });
  it("is the options of pepperbusctl", () => {
    const f = of({ match: "it's", since: "1h", until: "1000", attempts_min: "2", set: "dead" });
    expect(optionsOf(f)).toEqual({
      words: ["--set", "dead", "--match", "it's", "--since", "1h", "--until", "1970-01-01T00:00:01", "--attempts", "2.."],
      utc: true,
    });
  });
});

describe("lines for a terminal", () => {
  it("quote what a shell would take apart", () => {
    expect(ctl("topic", "replay", "a/b", "--match", "it's $HOME")).toBe("pepperbusctl topic replay a/b --match 'it'\\''s $HOME'");
    expect(curl("POST", "/api/v1/x", { a: "b'c" })).toBe(
      `curl -X POST -H "Authorization: Bearer $PEPPERBUS_TOKEN" -H 'Content-Type: application/json' -d '{"a":"b'\\''c"}' http://broker/x/api/v1/x`,
    );
  });
});

describe("groups", () => {
  const part = (counts: Record<string, number>, more: Partial<FailedGroups> = {}): FailedGroups => ({
    topic: "q/t", looked: 10, total: 100, complete: false, cursor: "c", others: 0, ...more,
    groups: Object.entries(counts).map(([signature, count]) => ({ signature, count, code: 1, text: "", first_ms: count, last_ms: count, sample_id: "1" })),
  });
  it("of several answers add up", () => {
    const sum = added(added(null, part({ a: 2, b: 3 })), part({ a: 5 }, { others: 4, complete: true }));
    expect(sum.groups.map((g) => [g.signature, g.count, g.first_ms, g.last_ms])).toEqual([["a", 7, 2, 5], ["b", 3, 3, 3]]);
    expect([sum.looked, sum.complete, matching(sum)]).toEqual([20, true, 14]);
  });
  it("are exact of one answer, and at least so many where jobs of several answers were not listed", () => {
    const one = added(null, part({ a: 2 }, { others: 4 }));
    expect([one.sure, added(one, part({ a: 1 })).sure]).toEqual([true, false]);
    expect(added(added(null, part({ a: 2 })), part({ a: 1 })).sure).toBe(true);
  });
  it("do not grow without an end", () => {
    const many = (letter: string) => part(Object.fromEntries(Array.from({ length: MOST }, (_, i) => [`${letter}${i}`, 1])));
    const sum = added(added(null, many("a")), many("b"));
    expect([sum.groups.length, sum.others, matching(sum)]).toEqual([MOST, MOST, 2 * MOST]);
  });
});

describe("pieces of a file of lines", () => {
  const cut = async (text: string, most: number) => {
    const all: string[] = [];
    for await (const p of pieces(new Blob([text]), most)) all.push(await p.text());
    return all;
  };
  it("are whole lines", async () => {
    expect(await cut("one\ntwo\nthree\n", 8)).toEqual(["one\ntwo\n", "three\n"]);
    expect(await cut("中文\n中文\n", 9)).toEqual(["中文\n", "中文\n"]);
  });
  it("have a line that is too long in one piece, and a last line without an end", async () => {
    expect(await cut("aaaaaaaaaaaa\nb\ncc", 4)).toEqual(["aaaaaaaaaaaa\nb\n", "cc"]);
    expect(await cut("", 4)).toEqual([]);
  });
});

describe("the course of a job", () => {
  const place = (p: Partial<JobPlace>): JobPlace => ({ queue: "q", topic: "t", storage: "s", state: "ready", node: "", since_ms: null, due_ms: null, times: 0, ...p });
  const words = (p: Partial<JobPlace>, first: number | null = null) => courseOf(place(p), 100, first, 1000).map((s) => `${s.what} ${s.to - s.from}`);
  it("of a dead one: it waited, failed, is dead", () => {
    expect(words({ state: "dead", since_ms: 400, due_ms: 400 }, 300)).toEqual(["waited 200", "failing 100", "dead 600"]);
  });
  it("of a running one, and of one whose start is not known", () => {
    expect(words({ state: "running", since_ms: 700 })).toEqual(["waited 600", "running 300"]);
    expect(words({ state: "running" })).toEqual(["running 900"]);
  });
  it("of a ready one", () => expect(words({ state: "ready" })).toEqual(["waits 900"]));
});
