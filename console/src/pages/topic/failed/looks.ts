/* Looks through failed jobs that go on by a cursor until they are over, or somebody stops them. What was found stays
 * until it is read again: a list that one reads does not move. */
import { onScopeDispose, ref, shallowRef, type Ref } from "vue";
import { answer, api } from "@/api/client";
import { explain } from "@/api/errors";
import type { FailedJob } from "@/api/types";
import { queryOf, type Filter } from "./filter";
import { added, MOST, type Counted } from "./groups";

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

type Steps = (wanted: () => boolean, stopped: () => boolean, signal: AbortSignal) => Promise<void>;

/** Runs `steps` with a way to ask whether it is still wanted. A question that is not is taken back: a browser has six
 * connections to a host, and long looks must not hold up what one wants to see now. */
function look<T>(): Look<T> & { run: (steps: Steps) => Promise<void> } {
  const found = shallowRef<T | null>(null) as Ref<T | null>;
  const busy = ref(false);
  const why = ref("");
  const at = ref(0);
  let now = 0;
  let halt = false;
  let asked = new AbortController();
  onScopeDispose(() => {
    now++;
    asked.abort();
  });
  async function run(steps: Steps): Promise<void> {
    const mine = ++now;
    asked.abort();
    asked = new AbortController();
    halt = false;
    busy.value = true;
    why.value = "";
    try {
      await steps(
        () => mine === now,
        () => halt,
        asked.signal,
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
  let of = "";
  /* Of another filter, what was there is wrong; read again, it stays until the new one comes. */
  const read = (f: Filter) => {
    if (JSON.stringify(f) !== of) it.found.value = null;
    of = JSON.stringify(f);
    return it.run(async (wanted, stopped, signal) => {
      let sum: Counted | null = null;
      let cursor: string | undefined;
      do {
        const query = { ...queryOf(f), limit: MOST, cursor };
        const part = await answer(api.GET("/api/v1/topics/{queue}/{topic}/failed/groups", { params: { path: { ...place }, query }, signal }));
        if (!wanted()) return;
        sum = added(sum, part);
        it.found.value = sum;
        cursor = part.cursor ?? undefined;
      } while (cursor && !stopped());
    });
  };
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
  let of = "";
  const read = (f: Filter, order: "oldest" | "newest", from: string) => {
    if (JSON.stringify([f, order, from]) !== of) it.found.value = null;
    of = JSON.stringify([f, order, from]);
    return it.run(async (wanted, stopped, signal) => {
      const list: Listed = { jobs: [], looked: 0, total: 0, next: from };
      do {
        const query = { ...queryOf(f), order, limit: PAGE - list.jobs.length, cursor: list.next || undefined };
        const part = await answer(api.GET("/api/v1/topics/{queue}/{topic}/failed", { params: { path: { ...place }, query }, signal }));
        if (!wanted()) return;
        list.jobs.push(...part.jobs);
        list.looked += part.looked;
        list.total = part.total;
        list.next = part.cursor ?? "";
        it.found.value = { ...list };
      } while (list.next && list.jobs.length < PAGE && !stopped());
    });
  };
  return { ...it, read };
}
