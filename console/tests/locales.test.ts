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

/* Our words in Chinese, and the ones that are not used for the same thing. topic and worker are not translated. */
const WORDS: [string, RegExp][] = [
  ["任务 (job)", /作业|工单/],
  ["新增 (add)", /添加|增加/],
  ["投递 (add a job)", /提交任务|推送任务/],
  ["重试 (retry)", /再试/],
  ["重放 (replay)", /重播|回放|重跑/],
  ["清除 (purge)", /清理|清掉/],
  ["死信 (dead)", /死亡|死任务/],
  ["隔离 (quarantine)", /检疫/],
  ["排空 (drain)", /排干|抽干/],
  ["节点 (node)", /结点/],
  ["主库, 从库 (primary, replica)", /主节点|从节点/],
  ["topic", /主题/],
  ["Worker 池 at the beginning, worker 池 within (pool)", /工作池|进程池/],
  ["配置版本 (revision)", /修订/],
  ["错误码 (code)", /错误代码/],
  ["告警 (alert)", /警报|报警/],
  ["令牌 (token)", /口令/],
  ["ID", /\b(id|Id)\b/],
];

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
  it("have Chinese signs in Chinese, and a space between Chinese and Latin", () => {
    for (const [key, text] of chinese) {
      const bare = text.replace(/\{\w+\}/g, "{}");
      expect(bare, key).not.toMatch(/\p{Script=Han}[,;:!?()]|[,;:!?()]\p{Script=Han}/u);
      expect(bare, key).not.toMatch(/\p{Script=Han}[A-Za-z0-9]|[A-Za-z0-9%]\p{Script=Han}/u);
    }
  });
  it("have one Chinese word for each thing", () => {
    for (const [word, others] of WORDS) for (const [key, text] of chinese) expect(text.replace(/\{\w+\}/g, ""), `${key}: ${word}`).not.toMatch(others);
  });
});
