import { dateFormat } from "@/formats";

/** Of a filter: "1h" as it is, Unix ms as a time of this browser's zone. */
export function moment(text: string): string {
  if (!/^\d+$/.test(text)) return text;
  return dateFormat({ dateStyle: "medium", timeStyle: "medium" }).format(Number(text));
}
