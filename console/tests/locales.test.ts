import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

type Tree = { [key: string]: string | Tree };

/* As they stand in the files: an import would give what the build makes of them. */
function read(language: string): Tree {
  const folder = new URL(`../src/locales/${language}/`, import.meta.url);
  return Object.fromEntries(
    readdirSync(folder).map((file) => [file.replace(/\.json$/, ""), JSON.parse(readFileSync(new URL(file, folder), "utf8")) as Tree]),
  );
}

function leaves(tree: Tree, at = ""): Map<string, string> {
  const all = new Map<string, string>();
  for (const [key, value] of Object.entries(tree))
    if (typeof value === "string") all.set(at + key, value);
    else for (const [k, v] of leaves(value, `${at}${key}.`)) all.set(k, v);
  return all;
}

const names = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();

describe("the two languages", () => {
  const english = leaves(read("en"));
  const chinese = leaves(read("zh"));

  it("have the same keys", () => {
    expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort());
  });
  it("have the same values to fill in", () => {
    for (const [key, text] of english) expect(names(chinese.get(key) ?? ""), key).toEqual(names(text));
  });
  it("have no empty text", () => {
    for (const [key, text] of [...english, ...chinese]) expect(text.trim(), key).not.toBe("");
  });
  it("have no sign that the compiler of messages takes for its own", () => {
    for (const [key, text] of [...english, ...chinese]) expect(text.replace(/\{'[^']*'\}/g, ""), key).not.toMatch(/[@|]/);
  });
});
