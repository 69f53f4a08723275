/* Points in time as people write them: in the zone of the settings. */
import { ref } from "vue";
import { serverNow } from "@/api/client";
import { dateFormat, relativeFormat, spaced } from "./formats";
import { timeZone } from "./settings";

/** The clock of the broker, once a second; parts of a page share it. */
export const now = ref(serverNow());
window.setInterval(() => {
  if (!document.hidden) now.value = serverNow();
}, 1000);

/** "30 Nov 2026, 09:41:07 GMT+8"; the zone stands last in every language. */
export function absolute(ms: number): string {
  const parts = dateFormat({
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23", timeZone: timeZone.value, timeZoneName: "short",
  }).formatToParts(ms);
  const zone = parts.find((x) => x.type === "timeZoneName")?.value ?? "";
  const text = parts.map((x) => (x.type === "timeZoneName" ? "" : x.value)).join("");
  return `${text.replace(/\s+/g, " ").trim()} ${zone}`;
}

const UNITS: [number, Intl.RelativeTimeFormatUnit][] = [
  [86_400_000, "day"],
  [3_600_000, "hour"],
  [60_000, "minute"],
  [1000, "second"],
];

/** "3 min ago", "in 2 hr." */
export function relative(ms: number, at = now.value): string {
  const off = ms - at;
  const [size, unit] = UNITS.find(([size]) => Math.abs(off) >= size) ?? [1000, "second" as const];
  return spaced(relativeFormat({ style: "short", numeric: unit === "second" ? "auto" : "always" }).format(Math.trunc(off / size), unit));
}

/** A point on an axis: "09:41", or "30 Nov" where days are shown. */
export function tick(ms: number, days: boolean): string {
  return dateFormat(days ? { month: "short", day: "numeric", timeZone: timeZone.value } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: timeZone.value }).format(ms);
}
