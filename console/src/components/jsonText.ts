/* JSON as text: spaced out, with every number and string as it was written. */

export const looksLikeJson = (text: string): boolean => /^\s*[[{"]/.test(text);

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
