import { describe, expect, it } from "vitest";
import type { Topic } from "../src/api/types";
import { columnsOf, remember, used } from "../src/pages/topics/topicList";

function topic(name: string, done: number): Topic {
  return { topic: name, workers: 4, node: { taken: 0, attempts: 1 }, rates: { accepted: 0, done, failed: 0 } } as Topic; // what is looked at
}

describe("the list of topics", () => {
  it("has each column once, and sorts by none that the broker cannot sort by", () => {
    const columns = columnsOf((key) => key);
    expect(new Set(columns.map((c) => c.key)).size).toBe(columns.length);
    expect(columns.filter((c) => ["p50", "p99", "eta", "line", "act"].includes(c.key) && c.sort)).toEqual([]);
  });
  it("says how much of its workers a topic uses", () => {
    expect(used({ workers: 4, node: { taken: 0, attempts: 1 } })).toBe(25);
    expect(used({ workers: 2, node: { taken: 0, attempts: 9 } })).toBe(100);
    expect(used({ workers: 0, node: { taken: 0, attempts: 0 } })).toBe(0);
  });
  it("keeps 60 figures of each topic on the page, and none of others", () => {
    let lines = remember(new Map(), [topic("a/1", 0), topic("a/2", 9)]);
    for (let i = 1; i <= 80; i++) lines = remember(lines, [topic("a/1", i)]);
    expect([...lines.keys()]).toEqual(["a/1"]);
    expect(lines.get("a/1")?.length).toBe(60);
    expect(lines.get("a/1")?.at(-1)).toBe(80);
  });
});
