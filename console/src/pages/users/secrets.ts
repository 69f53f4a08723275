import { badName } from "@/faults";
import { i18n } from "@/i18n";

/* 20 letters and digits, none that look alike: 112 bits. */
const LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

export function makePassword(length = 20): string {
  let text = "";
  while (text.length < length) {
    const [n] = crypto.getRandomValues(new Uint8Array(1));
    if (n! < 256 - (256 % LETTERS.length)) text += LETTERS[n! % LETTERS.length];
  }
  return text;
}

/** "live, mail" as names; each once. */
export function namesOf(text: string): string[] {
  return [...new Set(text.split(/[\s,，]+/).filter(Boolean))];
}

/** What is wrong with the systems that were named; null: all of them. */
export function badSystems(systems: readonly string[] | null): string {
  if (!systems) return "";
  const bad = systems.find((name) => badName(name));
  if (bad !== undefined) return `${bad}: ${badName(bad)}`;
  return systems.length ? "" : i18n.global.t("users.noSystem");
}
