/* Sections of the configuration for forms: which keys of a kind come first, what faults belong to which key. */
import { answer, api } from "@/api/client";
import type { components } from "@/api/schema";

export type OptionKey = components["schemas"]["OptionKey"];
export type Options = components["schemas"]["Options"];
export type Section = components["schemas"]["SectionWhole"];

export const KINDS = ["system", "node", "storage", "pool", "queue", "topic", "alert"] as const;
export type Kind = (typeof KINDS)[number];

/* What most people set; everything else is under "more". */
const FIRST: Record<string, string[]> = {
  system: ["title", "comment"],
  node: ["systems", "drain", "title", "comment"],
  storage: ["address", "username", "password", "system", "title", "comment"],
  pool: ["run_type", "address", "max_connections", "title", "comment"],
  queue: ["password", "system", "title", "comment"],
  topic: ["pool", "run_type", "entry", "workers", "attempts", "timeout", "enabled", "title", "comment"],
  alert: ["when", "topic", "queue", "system", "all", "webhook", "title", "comment"],
};

let loaded: Promise<Options> | null = null;

/** What sections may have: asked once, again after a failure. */
export function options(): Promise<Options> {
  loaded ??= answer(api.GET("/api/v1/options")).catch((e: unknown) => {
    loaded = null;
    throw e;
  });
  return loaded;
}

/** The keys of a kind for a run type, the first ones and the rest. Keys that only files may have are left out. */
export function keysOf(all: Options, kind: string, runType: string): { first: OptionKey[]; more: OptionKey[] } {
  const keys = (all.kinds[kind] ?? []).filter((k) => !k.local && !k.deprecated && (k.run_type === null || k.run_type === runType));
  const order = FIRST[kind] ?? [];
  const first = order.flatMap((name) => keys.filter((k) => k.name === name));
  return { first, more: keys.filter((k) => !first.includes(k)) };
}

/** "...: [topic q/t] workers = many: what is wrong" becomes {workers: "what is wrong"}; what names no key is under "". */
export function faultsOf(text: string, names: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of text.split("\n")) {
    if (!line.trim()) continue;
    const bare = line.replace(/^[^[\]]*?:\d+: /, "");
    const name = names.find((n) => new RegExp(`(^|[\\s\\].])${n}( =|:|\\b is (missing|needed))`).test(bare)) ?? "";
    const said = name ? bare.replace(new RegExp(`^.*?\\b${name}( = [^:]*)?: ?`), "") : bare;
    found[name] = found[name] ? `${found[name]}\n${said || bare}` : said || bare;
  }
  return found;
}

/** As an INI file has it; a secret that stays is not said. */
export function iniOf(kind: string, name: string, values: Record<string, string>): string {
  const lines = Object.entries(values).map(([k, v]) => `${k} = ${v}`);
  return [`[${kind} ${name}]`, ...lines].join("\n");
}

/** Where the list of a kind is. */
export function listOf(kind: string, name = ""): string {
  const lists: Record<string, string> = {
    system: "/system/index",
    node: "/cluster/index",
    storage: "/storage/index",
    pool: "/pool/index",
    queue: "/queue/index",
    alert: "/alert/index",
  };
  if (kind === "topic") return name.includes("/") ? `/topic/${name.split("/").map(encodeURIComponent).join("/")}` : "/topic/index";
  return lists[kind] ?? "/overview";
}
