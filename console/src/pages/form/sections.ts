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

export interface Said {
  faults: Record<string, string>; // by key; "name": of the name, "queue": of a topic's queue, "": of the whole
  doubts: Record<string, string>; // taken by the broker, but this node cannot use it
}
interface Asked {
  kind: string;
  name: string;
  values: Record<string, string>;
  keys: readonly string[];
}
const NAME = /^(a name has|node \S+ has (a|this) section|is there already|a topic is named|an? \w+ needs a name)/;

/* A line about the section as a whole: which field is it about? */
function wholeOf(text: string, keys: readonly string[]): string {
  if (NAME.test(text)) return "name";
  if (/^there is no \[queue /.test(text)) return "queue";
  if (/^a target is missing/.test(text)) return "topic";
  if (/^the URL of webhook/.test(text)) return "webhook";
  return keys.find((k) => text.startsWith(`${k} is missing`)) ?? "";
}

/* "[topic q/t] workers = many: what is wrong": the key, and what is said of it. */
function lineOf(line: string, at: Asked): [string, string] {
  const head = `[${at.kind} ${at.name}]`;
  const bare = line.replace(/^[^[\]]*?:\d+: /, "");
  if (!bare.startsWith(head)) {
    const key = at.keys.find((k) => bare.startsWith(`${k}: `));
    if (key) return [key, bare.slice(key.length + 2)];
    return [bare.startsWith(`[${at.kind} `) && NAME.test(bare.replace(/^\[.*?\](: | )/, "")) ? "name" : "", bare];
  }
  const rest = bare.slice(head.length).replace(/^: /, "").trimStart();
  const key = at.keys.find((k) => rest.startsWith(`${k} = `) || rest.startsWith(`${k}: `));
  if (!key) return [wholeOf(rest, at.keys), rest];
  const said = `${key} = ${at.values[key] ?? ""}: `;
  return [key, rest.startsWith(said) ? rest.slice(said.length) : rest.replace(/^\w+( = .*?)?: /, "")];
}

/** What the broker says of one section, line by line. */
export function saidOf(text: string, at: Asked): Said {
  const said: Said = { faults: {}, doubts: {} };
  for (const line of text.split("\n")) {
    if (!line.trim()) continue;
    const warning = line.startsWith("warning: ");
    const [key, what] = lineOf(warning ? line.slice("warning: ".length) : line, at);
    /* A queue without topics is what each queue is at first. */
    if (warning && (!/; this node cannot use it$/.test(what) || !line.includes(`[${at.kind} ${at.name}]`))) continue;
    const to = warning ? said.doubts : said.faults;
    to[key] = to[key] ? `${to[key]}\n${what}` : what;
  }
  return said;
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
