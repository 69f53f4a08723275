import { describe, expect, it, vi } from "vitest";

vi.mock("@/api/client", () => ({}));
const { saidOf } = await import("../src/pages/form/sections");
const { read } = await import("../src/pages/queues/exportQueues");

const at = { kind: "topic", name: "mail/send", keys: ["pool", "run_type", "timeout", "entry"], values: { timeout: "5: parsecs", pool: "nix" } };

describe("what the broker says of a section", () => {
  it("goes to the fields", () => {
    const said = saidOf(
      [
        "shared configuration:4: [topic mail/send] timeout = 5: parsecs: 'parsecs' is no unit",
        "shared configuration:1: [topic mail/send]: entry is missing; The worker: a path",
        "warning: shared configuration:2: [topic mail/send] pool = nix: there is no [pool nix]; this node cannot use it",
        "warning: shared configuration:9: [topic mail/other] pool = nix: there is no [pool nix]; this node cannot use it",
        "shared configuration:9: [pool php] run_type = x: a topic needs cgi",
      ].join("\n"),
      at,
    );
    expect(said.faults).toEqual({ timeout: "'parsecs' is no unit", entry: "entry is missing; The worker: a path", "": "[pool php] run_type = x: a topic needs cgi" });
    expect(said.doubts).toEqual({ pool: "there is no [pool nix]; this node cannot use it" });
  });
  it("is of the name as well", () => {
    for (const line of [
      "shared configuration:1: [topic mail/send]: a name has 1 to 128 letters, digits and _ . : -",
      "topic:1: [topic mail/se...]: a name has 1 to 128 letters",
      "[topic mail/send]: node a has a section of that name in a file of its own (/a.ini:19)",
      "[topic mail/send] is there already",
    ])
      expect(Object.keys(saidOf(line, at).faults), line).toEqual(["name"]);
    expect(saidOf("topic:3: timeout: the value has 9000 bytes; at most 4096 are allowed", at).faults).toEqual({ timeout: "the value has 9000 bytes; at most 4096 are allowed" });
  });
});

describe("a file of queues", () => {
  it("that is none says so, whatever it is", () => {
    for (const text of ["x", "[1]", '{"q": 1}', '{"q": null}', '{"kind": "queue", "name": "q", "values": null}', '{"kind": "queue", "name": "q", "values": [1]}']) expect(() => read(text), text).toThrow(/^1: /);
  });
});
