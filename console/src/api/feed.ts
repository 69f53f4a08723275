import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/vue-query";
import { computed, onScopeDispose, toValue, watch, type MaybeRefOrGetter, type Ref } from "vue";
import { explain } from "./errors";
import { type Live, useLive } from "./live";

const EACH_MS = 2000;
const QUIET_MS = 5000;

export interface Feed<T> extends Live {
  data: Ref<T | undefined>;
  at: Ref<number>; // when it was answered
  why: Ref<string>; // what went wrong, as a sentence; "": nothing
  again: () => Promise<unknown>;
}

/**
 * What `ask` answers, asked again when the broker tells of new figures, every `each` ms at most, each 5 s where it tells nothing, and when
 * `name` is another one (put what was asked for into it). What was there stays until the new one comes.
 */
export function useFeed<T>(name: MaybeRefOrGetter<string>, ask: () => Promise<T>, each = EACH_MS): Feed<T> {
  const queries = useQueryClient();
  const key = computed(() => [toValue(name)]);
  const query = useQuery({ queryKey: key, queryFn: ask, placeholderData: keepPreviousData });
  let last = Date.now();
  const again = () => queries.invalidateQueries({ queryKey: key.value });
  const live = useLive({
    figures: () => {
      if (Date.now() - last < each) return;
      last = Date.now();
      void again();
    },
  });
  /* What changes without a job (a storage that comes, a node that goes) is in no figures. */
  const timer = window.setInterval(() => {
    if (live.paused.value || live.hidden.value || Date.now() - last < Math.max(each, QUIET_MS)) return;
    last = Date.now();
    void again();
  }, 1000);
  onScopeDispose(() => window.clearInterval(timer));
  watch(live.paused, (on) => {
    if (!on) void again();
  });
  const why = computed(() => (query.error.value ? explain(query.error.value) : ""));
  return { data: query.data, at: query.dataUpdatedAt, why, again, ...live };
}
