/* Looks through failed jobs that go on by a cursor until they are over, or somebody stops them. What was found stays
 * until it is read again: a list that one reads does not move. */
import { onScopeDispose, ref, shallowRef, type Ref } from "vue";
import { answer, api } from "@/api/client";
import { explain } from "@/api/errors";
import type { FailedJob } from "@/api/types";
import { queryOf, type Filter } from "./filter";
import { added, type Counted } from "./groups";

export interface Place {
  queue: string;
  topic: string;
}

interface Look<T> {
  found: Ref<T | null>;
  busy: Ref<boolean>;
  why: Ref<string>;
  at: Ref<number>; // when it ended
  stop: () => void;
}

/** Runs `steps` with a way to ask whether it is still wanted. */
function look<T>(): Look<T> & { run: (steps: (wanted: () => boolean, stopped: () => boolean) => Promise<void>) => Promise<void> } {
  const found = shallowRef<T | null>(null) as Ref<T | null>;
  const busy = ref(false);
  const why = ref("");
  const at = ref(0);
  let now = 0;
  let halt = false;
  onScopeDispose(() => now++);
  async function run(steps: (wanted: () => boolean, stopped: () => boolean) => Promise<void>): Promise<void> {
    const mine = ++now;
    halt = false;
    busy.value = true;
    why.value = "";
    try {
      await steps(
        () => mine === now,
        () => halt,
      );
    } catch (e) {
      if (mine === now) why.value = explain(e);
    } finally {
      if (mine === now) {
        busy.value = false;
        at.value = Date.now();
      }
    }
  }
  return { found, busy, why, at, run, stop: () => (halt = true) };
}

/** Counts by error. */
export function useGroups(place: Place) {
  const it = look<Counted>();
  const read = (f: Filter) =>
    it.run(async (wanted, stopped) => {
      let sum: Counted | null = null;
      let cursor: string | undefined;
      do {
        const query = { ...queryOf(f), limit: 200, cursor };
        const part = await answer(api.GET("/api/v1/topics/{queue}/{topic}/failed/groups", { params: { path: { ...place }, query } }));
        if (!wanted()) return;
        sum = added(sum, part);
        it.found.value = sum;
        cursor = part.cursor ?? undefined;
      } while (cursor && !stopped());
    });
  return { ...it, read };
}

export const PAGE = 50;

export interface Listed {
  jobs: FailedJob[];
  looked: number;
  total: number;
  next: string; // "": there is no more
}

/** One page of the list. Where few jobs match, it looks on until the page is full. */
export function useList(place: Place) {
  const it = look<Listed>();
  const read = (f: Filter, order: "oldest" | "newest", from: string) =>
    it.run(async (wanted, stopped) => {
      const list: Listed = { jobs: [], looked: 0, total: 0, next: from };
      do {
        const query = { ...queryOf(f), order, limit: PAGE - list.jobs.length, cursor: list.next || undefined };
        const part = await answer(api.GET("/api/v1/topics/{queue}/{topic}/failed", { params: { path: { ...place }, query } }));
        if (!wanted()) return;
        list.jobs.push(...part.jobs);
        list.looked += part.looked;
        list.total = part.total;
        list.next = part.cursor ?? "";
        it.found.value = { ...list };
      } while (list.next && list.jobs.length < PAGE && !stopped());
    });
  return { ...it, read };
}
