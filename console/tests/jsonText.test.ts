import { describe, expect, it } from "vitest";
import { brokenAt, looksLikeJson, packed, placeOfFault, spaced } from "../src/components/jsonText";

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

describe("JSON that is broken", () => {
  it("is broken at a line and a column", () => {
    expect(placeOfFault('{\n  "a": 1,\n  "中": tru\n}')).toEqual({ line: 3, column: 8 });
    expect(placeOfFault('{"a":[1,2,]}')).toEqual({ line: 1, column: 11 });
    expect(placeOfFault('{"a":1')).toEqual({ line: 1, column: 7 });
    expect(placeOfFault('{"a":"x\ny"}')).toEqual({ line: 1, column: 8 });
    expect(placeOfFault(' {"a": [1, -0.5e+3, null, "\\u00e9"], "b": {}}\r\n')).toBeNull();
  });
  it("is what JSON.parse says it is", () => {
    const whole = '{"a":[1,-2.5e+3,true,false,null,"\\"x\\u12aF\\\\"],"b":{"c":{},"d":[]} , "":""}';
    const signs = '{}[]",:\\u01-+.eEtfn \n\t';
    let seed = 7;
    const some = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
    for (let i = 0; i < 20_000; i++) {
      const from = some(whole.length);
      const text = whole.slice(0, from) + (some(2) ? signs[some(signs.length)] : "") + whole.slice(from + some(3));
      let good = true;
      try {
        JSON.parse(text);
      } catch {
        good = false;
      }
      expect(brokenAt(text) < 0, text).toBe(good);
    }
  });
});

describe("JSON without its space", () => {
  it("has numbers and strings as they were written", () => {
    expect(packed('{ "n" : 12345678901234567890,\r\n\t"f": 1.50e+3, "s": " a  \\" : b " }')).toBe('{"n":12345678901234567890,"f":1.50e+3,"s":" a  \\" : b "}');
    expect(() => packed("[1, ")).toThrow();
  });
});
