import { useQuery, useQueryClient } from "@tanstack/vue-query";
import { computed, type Ref } from "vue";
import { useI18n } from "vue-i18n";
import { ApiError } from "./client";
import { type Live, useLive } from "./live";

const EACH_MS = 2000;

export interface Feed<T> extends Live {
  data: Ref<T | undefined>;
  at: Ref<number>; // when it was answered
  why: Ref<string>; // what went wrong, as a sentence; "": nothing
}

/** What `ask` answers, asked again when the broker tells of new figures, every two seconds at most. */
export function useFeed<T>(name: string, ask: () => Promise<T>): Feed<T> {
  const { t } = useI18n();
  const queries = useQueryClient();
  const query = useQuery({ queryKey: [name], queryFn: ask });
  let last = 0;
  const live = useLive({
    figures: () => {
      if (Date.now() - last < EACH_MS) return;
      last = Date.now();
      void queries.invalidateQueries({ queryKey: [name] });
    },
  });
  const why = computed(() => {
    const e = query.error.value;
    if (!e) return "";
    return e instanceof ApiError && e.status ? t("error.other", { text: e.message }) : t("error.away");
  });
  return { data: query.data, at: query.dataUpdatedAt, why, ...live };
}
