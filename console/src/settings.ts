/* What one person likes: kept in this browser. */
import { computed, ref, watch } from "vue";

export type Zone = "browser" | "utc" | "server";
export type Density = "normal" | "compact";

function kept<T extends string>(name: string, choices: readonly T[]) {
  const key = `pepperbus.${name}`;
  const there = localStorage.getItem(key) as T | null;
  const value = ref(there && choices.includes(there) ? there : choices[0]!) as { value: T } & ReturnType<typeof ref<T>>;
  watch(value, (to) => localStorage.setItem(key, to as string));
  return value;
}

export const ZONES: readonly Zone[] = ["browser", "utc", "server"];
export const zone = kept<Zone>("zone", ZONES);
export const density = kept<Density>("density", ["normal", "compact"]);

/** The zone of the broker's machine, as its session tells: "Asia/Shanghai" or "+08:00". */
export const serverZone = ref("");

/** For Intl; undefined: the browser's. A zone that this browser does not know is UTC. */
export const timeZone = computed<string | undefined>(() => {
  if (zone.value === "browser") return undefined;
  if (zone.value === "utc" || !serverZone.value) return "UTC";
  try {
    new Intl.DateTimeFormat("en", { timeZone: serverZone.value });
    return serverZone.value;
  } catch {
    return "UTC";
  }
});
