/* Queues with their topics go out as a file and come back from one: a section a line, as `config export --format jsonl`. */
import { answer, api } from "@/api/client";
import { explain } from "@/api/errors";
import { download } from "@/download";
import { tell } from "@/toasts";

export interface Line {
  kind: string;
  name: string;
  values: Record<string, string>;
}

async function sectionsOf(kind: string, q: string) {
  return (await answer(api.GET("/api/v1/config/sections", { params: { query: { kind, q, limit: 1000 } } }))).sections;
}

export async function exportQueues(queues: string[]): Promise<void> {
  try {
    const lines: Line[] = [];
    for (const queue of queues) {
      const own = (await sectionsOf("queue", queue)).filter((s) => s.name === queue);
      const topics = (await sectionsOf("topic", `${queue}/`)).filter((s) => s.name.startsWith(`${queue}/`));
      for (const s of [...own, ...topics]) {
        const whole = s.place === "local" ? await answer(api.GET("/api/v1/config/sections/{kind}/{name}", { params: { path: { kind: s.kind, name: s.name } } })) : s;
        lines.push({ kind: s.kind, name: s.name, values: whole.keys });
      }
    }
    download("pepperbus-queues.jsonl", lines.map((l) => JSON.stringify(l)).join("\n") + "\n", "application/x-ndjson");
  } catch (e) {
    tell(explain(e), { bad: true });
  }
}

/* What the predecessor's files call it. */
const OLD: Record<string, string> = { max_queue_length: "max_length", script_entry: "entry", num_of_workers: "workers" };
const UNNEEDED = new Set(["queue_name", "reuse_counts", "reuse_life", "init_conn_num", "max_idle_num", "max_idle_seconds", "retry_times", "cgi_config_key"]);

function clean(values: Record<string, unknown>): { values: Record<string, string>; left: string[] } {
  const out: Record<string, string> = {};
  const left: string[] = [];
  for (const [k, v] of Object.entries(values)) {
    if (UNNEEDED.has(k)) left.push(k);
    else if (v !== null && typeof v !== "object") out[OLD[k] ?? k] = v === true ? "yes" : v === false ? "no" : String(v);
    else if (Array.isArray(v)) out[OLD[k] ?? k] = v.join(", ");
  }
  return { values: out, left };
}

/** Sections of a file: lines of JSON, or the predecessor's object of queues. Throws a sentence with the line. */
export function read(text: string): { lines: Line[]; left: string[] } {
  const lines: Line[] = [];
  const left = new Set<string>();
  const add = (kind: string, name: string, values: Record<string, unknown>) => {
    const c = clean(values);
    c.left.forEach((k) => left.add(k));
    lines.push({ kind, name, values: c.values });
  };
  const isObject = (x: unknown): x is Record<string, unknown> => !!x && typeof x === "object" && !Array.isArray(x);
  const whole = tryParse(text);
  if (isObject(whole) && !("kind" in whole)) {
    for (const [name, queue] of Object.entries(whole)) {
      if (!isObject(queue)) throw new Error(`1: ${name}`);
      const { topic, ...rest } = queue;
      add("queue", name, rest);
      for (const [t, values] of Object.entries((topic ?? {}) as Record<string, Record<string, unknown>>)) add("topic", `${name}/${t}`, { ...values, name: undefined });
    }
    return { lines, left: [...left] };
  }
  text.split("\n").forEach((line, i) => {
    if (!line.trim()) return;
    const o = tryParse(line) as Partial<Line> | null;
    if (!o || typeof o.kind !== "string" || typeof o.name !== "string" || !isObject(o.values)) throw new Error(`${i + 1}: ${line.slice(0, 80)}`);
    add(o.kind, o.name, o.values);
  });
  return { lines, left: [...left] };
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
