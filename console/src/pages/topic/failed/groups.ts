/* Failed jobs counted by their error. The broker looks for some seconds an answer; the page adds up. */
import type { FailedGroups, Group } from "@/api/types";

export interface Counted {
  groups: Group[]; // the largest first
  others: number; // of errors that are too many to be listed
  looked: number;
  total: number;
  complete: boolean;
  sure: boolean; // else a group may have more: a part of its jobs may be among the others
}

export const MOST = 200; // groups; a page of more is of no use, and slow

export function added(sum: Counted | null, part: FailedGroups): Counted {
  const by = new Map((sum?.groups ?? []).map((g) => [g.signature, g]));
  for (const g of part.groups) {
    const old = by.get(g.signature);
    by.set(
      g.signature,
      old
        ? { ...old, count: old.count + g.count, first_ms: Math.min(old.first_ms, g.first_ms), last_ms: Math.max(old.last_ms, g.last_ms) }
        : g,
    );
  }
  const all = [...by.values()].sort((a, b) => b.count - a.count || (a.signature < b.signature ? -1 : 1));
  const others = (sum?.others ?? 0) + part.others + all.slice(MOST).reduce((n, g) => n + g.count, 0);
  return {
    groups: all.slice(0, MOST),
    others,
    sure: !others || !sum,
    looked: (sum?.looked ?? 0) + part.looked,
    total: part.total,
    complete: part.complete,
  };
}

export const matching = (c: Counted): number => c.groups.reduce((n, g) => n + g.count, c.others);
