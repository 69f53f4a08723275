/* Tests of topics: a test runs on while one looks at other pages, and is there when one comes back. */
import { defineStore } from "pinia";
import { reactive } from "vue";
import { answer, api, ApiError } from "@/api/client";
import { explain } from "@/api/errors";

export interface Result {
  code: number; // 0: the broker did not do it
  message: string;
  tookMs: number;
  node: string;
  kind: "ping" | "data";
}
export interface Test {
  content: string;
  node: string;
  since: number; // 0: none runs
  result: Result | null;
}
const KEEP = 10;

export const useTests = defineStore("tests", () => {
  const tests = reactive<Record<string, Test>>({});

  function of(topic: string): Test {
    tests[topic] ??= { content: history(topic)[0] ?? '{"hello": "world"}', node: "", since: 0, result: null };
    return tests[topic]; // read again: what ??= gives is not watched
  }
  function history(topic: string): string[] {
    try {
      const found: unknown = JSON.parse(localStorage.getItem(`pepperbus.tests.${topic}`) ?? "[]");
      return Array.isArray(found) ? found.filter((x) => typeof x === "string") : [];
    } catch {
      return [];
    }
  }
  function keep(topic: string, content: string): void {
    if (content.length > 100_000) return;
    const list = [content, ...history(topic).filter((x) => x !== content)].slice(0, KEEP);
    localStorage.setItem(`pepperbus.tests.${topic}`, JSON.stringify(list));
  }
  async function run(queue: string, topic: string, kind: "ping" | "data"): Promise<void> {
    const name = `${queue}/${topic}`;
    const test = of(name);
    const params = { path: { queue, topic }, query: test.node ? { node: test.node } : {} };
    const began = Date.now();
    test.since = began;
    test.result = null;
    if (kind === "data") keep(name, test.content);
    try {
      const got =
        kind === "ping"
          ? await answer(api.POST("/api/v1/topics/{queue}/{topic}/ping", { params }))
          : await answer(
              api.POST("/api/v1/topics/{queue}/{topic}/test", {
                params,
                body: test.content as never,
                bodySerializer: (x: unknown) => x as string,
                headers: { "Content-Type": "application/json" }, // whatever the content is: a session takes no other type
              }),
            );
      test.result = { code: got.code, message: got.message, tookMs: got.took_ms, node: test.node, kind };
    } catch (e) {
      test.result = { code: e instanceof ApiError && e.status === 504 ? 504 : 0, message: explain(e), tookMs: Date.now() - began, node: test.node, kind };
    } finally {
      test.since = 0;
    }
  }
  return { of, history, run };
});
