export interface Line {
  key: string;
  before: string;
  after: string;
  differs: boolean;
}

function flat(value: unknown, at: string, into: Map<string, string>): void {
  if (value && typeof value === "object" && !Array.isArray(value)) {
    for (const [k, v] of Object.entries(value)) flat(v, at ? `${at}.${k}` : k, into);
  } else if (value !== null && value !== undefined) {
    into.set(at, typeof value === "string" ? value : JSON.stringify(value));
  }
}

/** What was and what is, one line a value. */
export function compare(before: unknown, after: unknown): Line[] {
  const [a, b] = [new Map<string, string>(), new Map<string, string>()];
  flat(before, "", a);
  flat(after, "", b);
  return [...new Set([...a.keys(), ...b.keys()])].map((key) => ({
    key,
    before: a.get(key) ?? "",
    after: b.get(key) ?? "",
    differs: a.get(key) !== b.get(key),
  }));
}
