import { language } from "@/i18n";

/** Of a filter: "1h" as it is, Unix ms as a time of this browser's zone. */
export function moment(text: string): string {
  if (!/^\d+$/.test(text)) return text;
  return new Intl.DateTimeFormat(language() === "zh" ? "zh-CN" : "en-GB", {
    dateStyle: "medium",
    timeStyle: "medium",
  }).format(Number(text));
}
