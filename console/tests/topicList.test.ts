import { describe, expect, it } from "vitest";
import type { Topic } from "../src/api/types";
import { PAGE, pageOf } from "../src/pages/topics/topicList";

function topic(name: string, more: Partial<Topic> = {}, ready = 0, oldest: number | null = null): Topic {
  const [queue = "", short = ""] = name.split("/");
  return {
    topic: name, queue, name: short, system: "", state: "open", why: "", paused: false,
    counts: { ready, running: 0, retry: 0, dead: 0, oldest_ms: oldest },
    rates: { accepted: 0, done: 0, failed: 0 },
    ...more,
  } as Topic; // what a list of topics looks at
}
const all = { q: "", state: "", sort: "", page: 1 };
const namesOf = (rows: Topic[]) => rows.map((x) => x.topic);

describe("a page of topics", () => {
  it("is sorted by name at first, whatever order they came in", () => {
    expect(namesOf(pageOf([topic("b/1"), topic("a/2"), topic("a/10")], all).rows)).toEqual(["a/10", "a/2", "b/1"]);
  });
  it("finds text in names and reasons, in any case", () => {
    const list = [topic("mail/send"), topic("x/y", { why: "MAIL server is down" }), topic("z/z")];
    expect(namesOf(pageOf(list, { ...all, q: " Mail " }).rows)).toEqual(["mail/send", "x/y"]);
  });
  it("finds a state", () => {
    expect(namesOf(pageOf([topic("a/a"), topic("b/b", { state: "broken" })], { ...all, state: "broken" }).rows)).toEqual(["b/b"]);
  });
  it("has the most jobs first when told so, equal ones by name", () => {
    const list = [topic("a/a", {}, 1), topic("b/b", {}, 5), topic("c/c", {}, 5), topic("d/d", { counts: null })];
    expect(namesOf(pageOf(list, { ...all, sort: "-ready" }).rows)).toEqual(["b/b", "c/c", "a/a", "d/d"]);
  });
  it("has the oldest job first by -oldest", () => {
    const list = [topic("new/a", {}, 1, 2000), topic("old/a", {}, 1, 1000), topic("none/a")];
    expect(namesOf(pageOf(list, { ...all, sort: "-oldest" }).rows)).toEqual(["old/a", "new/a", "none/a"]);
  });
  it("cuts pages, and takes a page that is not there for the nearest one", () => {
    const list = Array.from({ length: 2 * PAGE + 1 }, (_, i) => topic(`q/${String(i).padStart(4, "0")}`));
    expect(pageOf(list, { ...all, page: 3 }).rows).toHaveLength(1);
    expect(pageOf(list, { ...all, page: 99 }).page).toBe(3);
    expect(pageOf(list, { ...all, page: -1 }).page).toBe(1);
    expect(pageOf(list, all)).toMatchObject({ total: 2 * PAGE + 1, pages: 3 });
  });
});
