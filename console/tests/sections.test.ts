import { describe, expect, it } from "vitest";
import { cell, csv } from "../src/download";
import { compare } from "../src/pages/audit/flat";
import { read, rows } from "../src/pages/config/sections";
import { makePassword, namesOf } from "../src/pages/users/secrets";

describe("two revisions", () => {
  const before = "[queue q]\npassword = ********\n\n[topic q/a]\nworkers = 2\nentry = /a=b.php\n";
  const after = "# a note\n[queue q]\npassword = ********\n[topic q/a]\nworkers = 4\nentry = /a=b.php\n[topic q/b]\nworkers = 1\n";
  it("are read by section", () => {
    expect(read(before).get("topic q/a")?.get("entry")).toBe("/a=b.php");
  });
  it("differ by key, also in secrets that are masked", () => {
    const changes = [
      { kind: "queue", name: "q", what: "changed" as const, keys: ["password"] },
      { kind: "topic", name: "q/a", what: "changed" as const, keys: ["workers"] },
      { kind: "topic", name: "q/b", what: "added" as const, keys: [] },
    ];
    expect(rows(changes, before, after).map((x) => x.keys)).toEqual([
      [{ key: "password", before: "********", after: "********" }],
      [{ key: "workers", before: "2", after: "4" }],
      [{ key: "workers", before: "", after: "1" }],
    ]);
  });
});

describe("a file for a spreadsheet", () => {
  it("has no cell that would be a formula", () => {
    expect(["=1", "+1", "-1", "@a", "\ta", "a"].map(cell)).toEqual(["'=1", "'+1", "'-1", "'@a", "'\ta", "a"]);
  });
  it("keeps quotes, commas and lines", () => {
    expect(csv([['a "b"', "c,d", null, { e: 1 }]])).toBe('"a ""b""","c,d",,"{""e"":1}"\r\n');
  });
});

describe("what was before and after", () => {
  it("is compared value by value", () => {
    expect(compare({ a: 1, b: { c: "x" } }, { a: 2, b: { c: "x" }, d: [1] })).toEqual([
      { key: "a", before: "1", after: "2", differs: true },
      { key: "b.c", before: "x", after: "x", differs: false },
      { key: "d", before: "", after: "[1]", differs: true },
    ]);
  });
});

describe("a password that is made", () => {
  it("is long, of plain letters, and another one each time", () => {
    const [a, b] = [makePassword(), makePassword()];
    expect(a).toMatch(/^[a-zA-Z2-9]{20}$/);
    expect(a).not.toBe(b);
  });
  it("is for systems that are named once each", () => {
    expect(namesOf(" live, mail，live\nx ")).toEqual(["live", "mail", "x"]);
  });
});
