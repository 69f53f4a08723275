/* Which failed jobs: the filter of the API, as it stands in the address of the page. */

export const SETS = ["all", "both", "dead", "retry", "quarantine"] as const;
export const AGES = ["10m", "1h", "24h", "7d"] as const;
const TEXTS = ["match", "body", "signature", "node", "since", "until"] as const;
const NUMBERS = ["code", "attempts_min", "attempts_max"] as const;
export const MEMBERS = ["set", ...TEXTS, ...NUMBERS] as const;
export type Member = (typeof MEMBERS)[number];
export type Filter = Record<Member, string>; // "": any
export type SetName = (typeof SETS)[number];

export interface FilterQuery {
  set: SetName;
  match?: string;
  body?: string;
  signature?: string;
  node?: string;
  since?: string;
  until?: string;
  code?: number;
  attempts_min?: number;
  attempts_max?: number;
}

/** Numbers that are none are left out: nobody can have typed them into the form. */
export function filterOf(text: (name: string) => string): Filter {
  const f = Object.fromEntries(MEMBERS.map((m) => [m, text(m)])) as Filter;
  if (!(SETS as readonly string[]).includes(f.set)) f.set = "all";
  for (const m of NUMBERS) if (!/^-?\d{1,9}$/.test(f[m])) f[m] = "";
  return f;
}

/** For the address: the default is not in it. */
export function addressOf(f: Filter): Record<string, string> {
  return { ...f, set: f.set === "all" ? "" : f.set };
}

export function queryOf(f: Filter): FilterQuery {
  const q: FilterQuery = { set: f.set as SetName };
  for (const m of TEXTS) if (f[m]) q[m] = f[m];
  for (const m of NUMBERS) if (f[m]) q[m] = Number(f[m]);
  return q;
}

export const narrowed = (f: Filter): boolean => MEMBERS.some((m) => m !== "set" && f[m] !== "") || f.set !== "all";

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** "1h" is an hour before `now`; digits alone are Unix milliseconds. */
export function momentOf(text: string, now: number): number {
  const [, n, unit] = /^(\d+)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (!n) return NaN;
  return unit ? Math.max(1, now - Number(n) * UNITS[unit]!) : Number(n);
}

/** For an act: "an hour ago" is the hour before its count, and what fails after the count does not belong to it.
 * So the number that was shown stays the number. */
export function pinned(f: Filter, now: number): Record<string, string | number> {
  const all: Record<string, string | number> = { ...queryOf(f) };
  if (f.since) all.since = momentOf(f.since, now);
  all.until = f.until ? momentOf(f.until, now) : now;
  return all;
}

const utc = (ms: number): string => new Date(ms).toISOString().slice(0, 19);

/** The same for pepperbusctl, and whether its times are in UTC. */
export function optionsOf(f: Filter): { words: string[]; utc: boolean } {
  const words = ["--set", f.set];
  let absolute = false;
  for (const m of ["match", "body", "code", "signature", "node"] as const) if (f[m]) words.push(`--${m}`, f[m]);
  for (const m of ["since", "until"] as const) {
    if (!f[m]) continue;
    const exact = /^\d+$/.test(f[m]);
    absolute ||= exact;
    words.push(`--${m}`, exact ? utc(Number(f[m])) : f[m]);
  }
  if (f.attempts_min || f.attempts_max)
    words.push("--attempts", f.attempts_min === f.attempts_max ? f.attempts_min : `${f.attempts_min}..${f.attempts_max}`);
  return { words, utc: absolute };
}
