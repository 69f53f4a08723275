/* What a few letters may mean: pages, queues, topics, a job. */
import { answer, api, listTopics } from "@/api/client";

export interface Found {
  kind: "page" | "queue" | "topic" | "job" | "jobs";
  name: string;
  to: string;
  state?: string;
}

const part = encodeURIComponent;
export const jobId = (q: string) => /^([0-9]{1,20}|D-[0-9a-f-]+-[A-Za-z0-9+/=]+-[0-9a-f]+)$/.test(q);

/** At most `most` of each kind; `pages`: their names and addresses. */
export async function find(wanted: string, pages: readonly (readonly [string, string])[], most: number): Promise<Found[]> {
  const q = wanted.trim();
  const low = q.toLowerCase();
  const has = (text: string) => text.toLowerCase().includes(low);
  const found: Found[] = pages.filter(([name]) => !q || has(name)).map(([name, to]) => ({ kind: "page", name, to }));
  if (!q) return found;
  const query = { q, limit: most };
  const [queues, topics] = await Promise.all([
    answer(api.GET("/api/v1/config/sections", { params: { query: { ...query, kind: "queue" } } })),
    listTopics(query),
  ]);
  if (jobId(q)) found.unshift({ kind: "job", name: q, to: `/job/${part(q)}` });
  for (const x of topics.topics) if (has(x.topic)) found.push({ kind: "topic", name: x.topic, to: `/topic/${part(x.queue)}/${part(x.name)}`, state: x.state });
  const names = new Set(queues.sections.map((x) => x.name).filter(has)); // of a file and shared: once
  for (const name of names) found.push({ kind: "queue", name, to: `/queue/${part(name)}` });
  found.push({ kind: "jobs", name: q, to: `/job/index?q=${part(q)}` });
  return found;
}

/** The pages of the navigation that this user may see. */
export function pagesOf(can: { all: boolean; users: boolean; audit: boolean }): { above: [string, string][]; below: [string, string][] } {
  return {
    above: [
      ["overview", "/overview"],
      ["systems", "/system/index"],
      ["cluster", "/cluster/index"],
      ["storages", "/storage/index"],
      ["queues", "/queue/index"],
      ["topics", "/topic/index"],
      ["jobs", "/job/index"],
      ["alerts", "/alert/index"],
    ],
    below: [
      ...(can.users ? [["users", "/user/index"] as [string, string]] : []),
      ...(can.audit ? [["audit", "/audit/index"] as [string, string]] : []),
      ...(can.all ? [["config", "/config/index"] as [string, string]] : []),
      ["tokens", "/token/index"],
      ["plugins", "/plugin/index"],
    ],
  };
}
