/* Keys that hold on every page; the sheet that "?" opens lists them. */

export const KEYS: [string[], string][] = [
  [["/"], "search"],
  [["Ctrl", "K"], "palette"],
  [["j"], "next"],
  [["k"], "previous"],
  [["Enter"], "open"],
  [["x"], "select"],
  [["?"], "sheet"],
  [["Esc"], "close"],
];

/** Somebody types: a letter is text there. */
export function types(e: KeyboardEvent): boolean {
  const at = e.target as HTMLElement | null;
  return !!at && (/^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName) || at.isContentEditable || e.composedPath().some((x) => x instanceof HTMLElement && x.isContentEditable));
}
