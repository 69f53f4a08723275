export interface Column {
  key: string;
  label: string;
  number?: boolean; // to the right, tabular figures
  sort?: boolean; // by a press on its head
  always?: boolean; // cannot be left out
  off?: boolean; // not shown until it is chosen
  width?: number; // em; without: numbers 7, others share what is left
}

/** How wide a table is at least, in em: below that it scrolls. */
export function least(columns: readonly Column[]): number {
  return columns.reduce((n, c) => n + (c.width ?? (c.number ? 7 : 12)), 0);
}

/**
 * The keys in the order in which they are shown. While somebody reads (`held`) what is there stays where it is, and
 * what is new comes after it.
 */
export function ordered(before: readonly string[], given: readonly string[], held: boolean): string[] {
  if (!held) return [...given];
  const now = new Set(given);
  const stay = before.filter((k) => now.has(k));
  const known = new Set(stay);
  return [...stay, ...given.filter((k) => !known.has(k))];
}

export function pagesOf(total: number, size: number): number {
  return Math.max(1, Math.ceil(total / Math.max(1, size)));
}

