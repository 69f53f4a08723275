import { describe, expect, it, vi } from "vitest";
import { columnsOf, used } from "../src/pages/topics/topicList";

vi.mock("@/api/client", () => ({ answer: () => null, api: {} }));
const { line, parts } = await import("../src/pages/topics/lines");

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
});

describe("lines of topics", () => {
  it("are a rate of each minute, and that of now", () => {
    expect(line([60, 0, 120], 5)).toEqual([1, 0, 2, 5]);
    expect(line(undefined, 0)).toEqual(new Array(61).fill(0));
  });
  it("are asked for in questions that the broker takes", () => {
    expect(parts(["q/a", "q/b", "q/c"], 20)).toEqual(["q/a,q/b", "q/c"]);
    const names = Array.from({ length: 50 }, (_, i) => `${"q".repeat(120)}/${"t".repeat(120)}${i}`);
    expect(parts(names).join().split(",")).toEqual(names);
    expect(parts(names).every((x) => encodeURIComponent(x).length < 4000)).toBe(true);
    expect(parts([])).toEqual([]);
  });
});
