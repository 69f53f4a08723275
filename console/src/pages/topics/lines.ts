/* The lines beside topics: what each did in the last hour, from the history, and what it does now at the end. */
import { keepPreviousData, useQuery } from "@tanstack/vue-query";
import { computed, toValue, type MaybeRefOrGetter } from "vue";
import { answer, api } from "@/api/client";

const MOST = 3000; // bytes of a question: the broker takes 4,096
const EACH_MS = 60_000;
const MINUTES = 60;

/** Names in parts that fit into a question each. */
export function parts(topics: readonly string[], most = MOST): string[] {
  const all: string[] = [];
  for (const topic of topics) {
    const last = all.at(-1);
    if (last !== undefined && encodeURIComponent(`${last},${topic}`).length <= most) all[all.length - 1] = `${last},${topic}`;
    else all.push(topic);
  }
  return all;
}

/** Jobs a second in each minute, and now where that is known. */
export function line(done: readonly number[] | undefined, now?: number): number[] {
  const minutes = (done ?? new Array<number>(MINUTES).fill(0)).map((n) => n / 60);
  return now === undefined ? minutes : [...minutes, now];
}

/** Of the topics that are shown; a function that tells the line of one: empty until it is known. */
export function useLines(topics: MaybeRefOrGetter<readonly string[]>) {
  const names = computed(() => [...toValue(topics)].sort());
  const query = useQuery({
    queryKey: computed(() => ["lines", ...names.value]),
    queryFn: async () => {
      const answers = await Promise.all(parts(names.value).map((part) => answer(api.GET("/api/v1/topics/lines", { params: { query: { topics: part } } }))));
      return { of: new Set(names.value), done: new Map(answers.flatMap((x) => x.lines.map((l) => [l.topic, l.done] as const))) };
    },
    enabled: computed(() => names.value.length > 0),
    placeholderData: keepPreviousData,
    refetchInterval: EACH_MS,
    staleTime: EACH_MS,
  });
  return (topic: string, now?: number): number[] => {
    const found = query.data.value;
    return found?.of.has(topic) ? line(found.done.get(topic), now) : [];
  };
}
