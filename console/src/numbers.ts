import { numberFormat, spaced } from "./formats";

/* Numbers and times as people of the page's language write them. */

export function count(n: number): string {
  return numberFormat().format(n);
}

export function rate(n: number): string {
  return numberFormat({ maximumFractionDigits: n < 1 ? 2 : n < 10 ? 1 : 0 }).format(n);
}

/** A length of time in milliseconds: "7 ms", "0.4 sec", "3 min", "2 days". */
export function duration(ms: number): string {
  const units: [number, string][] = [
    [86_400_000, "day"],
    [3_600_000, "hour"],
    [60_000, "minute"],
    [1000, "second"],
  ];
  const [size, unit] = units.find(([size]) => ms >= size) ?? (ms < 100 ? [1, "millisecond"] : [1000, "second"]);
  const value = ms / size;
  const format = numberFormat({ style: "unit", unit, unitDisplay: "short", maximumFractionDigits: value < 10 ? 1 : 0 });
  return spaced(format.format(value));
}

/** A number of bytes: "512 B", "4 kB", "29 MB". */
export function bytes(n: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let at = 0;
  for (; n >= 1024 && at < units.length - 1; at++) n /= 1024;
  return numberFormat({
    style: "unit",
    unit: units[at],
    unitDisplay: at ? "short" : "narrow",
    maximumFractionDigits: at && n < 10 ? 1 : 0,
  }).format(n);
}
