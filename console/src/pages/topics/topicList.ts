import type { Topic } from "@/api/types";

export const PAGE = 100;
export const columns = ["ready", "running", "retry", "dead", "oldest", "accepted", "done", "failed"] as const;

export interface Wanted {
  q: string;
  state: string;
  sort: string; // a column, with "-" in front: the largest first
  page: number;
}

function value(x: Topic, key: string): number {
  if (key === "accepted" || key === "done" || key === "failed") return x.rates[key];
  if (key === "oldest") return x.counts?.oldest_ms ? -x.counts.oldest_ms : -Infinity;
  return x.counts?.[key as "ready" | "running" | "retry" | "dead"] ?? -1;
}

/** One page of the topics that are wanted, sorted. */
export function pageOf(topics: readonly Topic[], wanted: Wanted) {
  const q = wanted.q.trim().toLowerCase();
  const rows = topics.filter(
    (x) => (!q || x.topic.toLowerCase().includes(q) || x.why.toLowerCase().includes(q)) && (!wanted.state || x.state === wanted.state),
  );
  const down = wanted.sort.startsWith("-");
  const key = down ? wanted.sort.slice(1) : wanted.sort;
  if (key === "topic" || !key) rows.sort((a, b) => (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : 0) * (down ? -1 : 1));
  else rows.sort((a, b) => (value(a, key) - value(b, key)) * (down ? -1 : 1) || (a.topic < b.topic ? -1 : 1));
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  const page = Math.min(Math.max(1, Math.floor(wanted.page)), pages);
  return { rows: rows.slice((page - 1) * PAGE, page * PAGE), total: rows.length, page, pages };
}
