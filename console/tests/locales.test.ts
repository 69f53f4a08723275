import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

/* As they stand in the files: an import would give what the build makes of them. */
const read = (name: string) => JSON.parse(readFileSync(new URL(`../src/locales/${name}.json`, import.meta.url), "utf8"));
const en = read("en");
const zh = read("zh");

type Tree = { [key: string]: string | Tree };

function leaves(tree: Tree, at = ""): Map<string, string> {
  const all = new Map<string, string>();
  for (const [key, value] of Object.entries(tree))
    if (typeof value === "string") all.set(at + key, value);
    else for (const [k, v] of leaves(value, `${at}${key}.`)) all.set(k, v);
  return all;
}

const names = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();

describe("the two languages", () => {
  const english = leaves(en as Tree);
  const chinese = leaves(zh as Tree);

  it("have the same keys", () => {
    expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort());
  });
  it("have the same values to fill in", () => {
    for (const [key, text] of english) expect(names(chinese.get(key) ?? ""), key).toEqual(names(text));
  });
  it("have no empty text", () => {
    for (const [key, text] of [...english, ...chinese]) expect(text.trim(), key).not.toBe("");
  });
});
