import { describe, expect, it } from "vitest";
import { least, ordered, pagesOf } from "../src/components/dataTable";

describe("the rows of a table", () => {
  it("are in the order given while nobody reads", () => {
    expect(ordered(["a", "b"], ["b", "c", "a"], false)).toEqual(["b", "c", "a"]);
  });
  it("keep their places while somebody reads, new ones come last", () => {
    expect(ordered(["a", "b", "d"], ["c", "b", "a"], true)).toEqual(["a", "b", "c"]);
  });
  it("have at least one page", () => {
    expect([pagesOf(0, 100), pagesOf(100, 100), pagesOf(101, 100)]).toEqual([1, 1, 2]);
  });
  it("are as wide as their columns need", () => {
    expect(least([{ key: "a", label: "A" }, { key: "n", label: "N", number: true }, { key: "w", label: "W", width: 3 }])).toBe(22);
  });
});
