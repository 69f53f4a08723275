/* What a page does, as lines for a terminal. */
import { address } from "@/api/client";

/** A word of a shell: as it is where nothing in it means anything else there. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function ctl(...words: string[]): string {
  return ["pepperbusctl", ...words.map(quoted)].join(" ");
}

/** With a token in $PEPPERBUS_TOKEN: none is ever shown here. */
export function curl(method: string, path: string, body?: unknown): string {
  const line = ["curl", "-X", method, "-H", '"Authorization: Bearer $PEPPERBUS_TOKEN"'];
  if (body !== undefined) line.push("-H", "'Content-Type: application/json'", "-d", quoted(JSON.stringify(body)));
  return [...line, quoted(address(path))].join(" ");
}

/** The same with a body that is sent as it stands: the content of a job, or `@FILE`. */
export function curlText(path: string, body: string): string {
  return ["curl", "-X", "POST", "-H", '"Authorization: Bearer $PEPPERBUS_TOKEN"', "-H", "'Content-Type: application/octet-stream'", "--data-binary", quoted(body), quoted(address(path))].join(" ");
}
