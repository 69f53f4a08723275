/* The filter of an act, as the workbench has it in its address. */
import type { Act } from "@/api/types";
import { filterOf, type Filter } from "@/pages/topic/failed/filter";

export function filterOfAct(a: Act): Filter {
  const f = a.filter as Record<string, unknown>;
  return filterOf((name) => (f[name] === undefined || f[name] === null ? (name === "set" ? "both" : "") : String(f[name])));
}

/** Where the jobs of an act are looked at: its filter, but for what is masked. */
export function workbenchOf(a: Act): { path: string; query: Record<string, string> } {
  const [queue = "", topic = ""] = a.topic.split("/");
  const f = filterOfAct(a);
  const query = Object.fromEntries(Object.entries(f).filter(([k, v]) => v && k !== "body" && k !== "until"));
  return { path: `/topic/${encodeURIComponent(queue)}/${encodeURIComponent(topic)}/failed`, query };
}
