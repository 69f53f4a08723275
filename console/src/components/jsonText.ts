/* JSON as text: spaced out, with every number and string as it was written. */

export const looksLikeJson = (text: string): boolean => /^\s*[[{"]/.test(text);

/*
 * Where JSON is broken: a reader of its own, for the browsers say it each in other words, and some without the place.
 */
const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y; // without its end
const WORD = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null/y;

/** The offset of the first character that is wrong; -1: all is right. */
export function brokenAt(text: string): number {
  let at = 0;
  const take = (what: RegExp): string => {
    what.lastIndex = at;
    const got = what.exec(text)?.[0] ?? "";
    at += got.length;
    return got;
  };
  const string = (): boolean => {
    if (!take(STRING) || text[at] !== '"') return false;
    at++;
    return true;
  };
  const open: string[] = []; // the brackets that are to be closed
  let wanted: "value" | "key" | "next" = "value";
  for (let first = false; ; ) {
    take(SPACE);
    const c = text[at];
    if (wanted === "next") {
      if (!open.length) return at === text.length ? -1 : at;
      if (c === open.at(-1)) {
        at++;
        open.pop();
      } else if (c === ",") {
        at++;
        wanted = open.at(-1) === "}" ? "key" : "value";
      } else return at;
      continue;
    }
    const fresh = first;
    first = false;
    if (fresh && c === open.at(-1)) {
      wanted = "next";
    } else if (wanted === "key") {
      if (!string()) return at;
      take(SPACE);
      if (text[at] !== ":") return at;
      at++;
      wanted = "value";
    } else if (c === "{" || c === "[") {
      at++;
      open.push(c === "{" ? "}" : "]");
      wanted = c === "{" ? "key" : "value";
      first = true;
    } else if (c === '"' ? string() : take(WORD)) {
      wanted = "next";
    } else return at;
  }
}

/** The same for people: lines and columns from 1 on. null: it is JSON. */
export function placeOfFault(text: string): { line: number; column: number } | null {
  const at = brokenAt(text);
  if (at < 0) return null;
  const lines = text.slice(0, at).split("\n");
  return { line: lines.length, column: [...lines.at(-1)!].length + 1 };
}

/** Without the space between its parts; every number and string as it was written. Throws where `text` is no JSON. */
export function packed(text: string): string {
  JSON.parse(text);
  return text.replace(/("(?:[^"\\]+|\\.)*")|\s+/g, (_, string: string | undefined) => string ?? "");
}

/** Throws where `text` is no JSON. */
export function spaced(text: string): string {
  JSON.parse(text);
  let out = "";
  let deep = 0;
  const line = (step: number) => `\n${"  ".repeat((deep += step))}`;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '"') {
      const from = i;
      while (text[++i] !== '"') if (text[i] === "\\") i++;
      out += text.slice(from, i + 1);
    } else if (c === "{" || c === "[") {
      const end = /^\s*[\]}]/.exec(text.slice(i + 1, i + 1000));
      out += end ? c + end[0].trim() : c + line(1);
      i += end ? end[0].length : 0;
    } else if (c === "}" || c === "]") out += line(-1) + c;
    else if (c === ",") out += c + line(0);
    else if (c === ":") out += ": ";
    else if (!/\s/.test(c)) out += c;
  }
  return out;
}
