/* Sections as they stand in a text: "[topic msg/reply]" and its lines. */

export type Texts = Map<string, Map<string, string>>;

export function read(text: string): Texts {
  const all: Texts = new Map();
  let keys = new Map<string, string>();
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (!line || line.startsWith("#") || line.startsWith(";")) continue;
    const head = /^\[(.*)\]$/.exec(line);
    if (head) {
      keys = new Map();
      all.set(head[1]!.trim(), keys);
      continue;
    }
    const at = line.indexOf("=");
    const key = (at < 0 ? line : line.slice(0, at)).trim();
    const value = at < 0 ? "" : line.slice(at + 1).trim();
    keys.set(key, keys.has(key) ? `${keys.get(key)}\n${value}` : value);
  }
  return all;
}

export interface Row {
  section: string;
  what: "added" | "changed" | "removed";
  keys: { key: string; before: string; after: string }[]; // those that differ
}

/** `changes` says what differs, secrets as well, which are masked in both texts. */
export function rows(changes: readonly { kind: string; name: string; what: Row["what"]; keys: string[] }[], before: string, after: string): Row[] {
  const [a, b] = [read(before), read(after)];
  return changes.map((c) => {
    const section = c.name ? `${c.kind} ${c.name}` : c.kind;
    const [x, y] = [a.get(section), b.get(section)];
    const keys = c.keys.length ? c.keys : [...new Set([...(x?.keys() ?? []), ...(y?.keys() ?? [])])];
    return { section, what: c.what, keys: keys.map((key) => ({ key, before: x?.get(key) ?? "", after: y?.get(key) ?? "" })) };
  });
}

/** All of a text is new. */
export function added(text: string): Row[] {
  return [...read(text)].map(([section, keys]) => ({ section, what: "added", keys: [...keys].map(([key, after]) => ({ key, before: "", after })) }));
}
