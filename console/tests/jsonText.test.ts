import { describe, expect, it } from "vitest";
import { looksLikeJson, spaced } from "../src/components/jsonText";

describe("JSON is spaced out", () => {
  it("and numbers and strings stay as they are written", () => {
    expect(spaced('{"n":12345678901234567890,"f":1.50e+3,"s":"a, {b}: \\"c\\" \\\\","e":[ ],"o":{},"l":[1,[2]]}')).toBe(
      '{\n  "n": 12345678901234567890,\n  "f": 1.50e+3,\n  "s": "a, {b}: \\"c\\" \\\\",\n  "e": [],\n  "o": {},\n  "l": [\n    1,\n    [\n      2\n    ]\n  ]\n}',
    );
  });
  it("is the same the second time, and what is no JSON is refused", () => {
    const once = spaced('[{"a":null},true]');
    expect(spaced(once)).toBe(once);
    expect(() => spaced("[1,")).toThrow();
  });
  it("and other text is no JSON at all", () => {
    expect([' {"a', "[", '"x"', "hello", "12"].map(looksLikeJson)).toEqual([true, true, true, false, false]);
  });
});
