/* Intl's formats, each made once: to make one takes a hundred times as long as to use it, and a page has thousands. */
import { language } from "./i18n";

const made = new Map<string, unknown>();

function once<T>(key: string, make: () => T): T {
  let format = made.get(key) as T | undefined;
  if (!format) made.set(key, (format = make()));
  return format;
}

export function numberFormat(options: Intl.NumberFormatOptions = {}): Intl.NumberFormat {
  const locale = language() === "zh" ? "zh-CN" : "en";
  return once(`number ${locale} ${JSON.stringify(options)}`, () => new Intl.NumberFormat(locale, options));
}

const timeLocale = () => (language() === "zh" ? "zh-CN" : "en-GB");

export function dateFormat(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const locale = timeLocale();
  return once(`date ${locale} ${JSON.stringify(options)}`, () => new Intl.DateTimeFormat(locale, options));
}

export function relativeFormat(options: Intl.RelativeTimeFormatOptions): Intl.RelativeTimeFormat {
  const locale = timeLocale();
  return once(`relative ${locale} ${JSON.stringify(options)}`, () => new Intl.RelativeTimeFormat(locale, options));
}

/** Between a figure and a Chinese word stands a space, as in all our texts: "3 分钟前". Intl leaves it out. */
export function spaced(text: string): string {
  return text.replace(/(\d)(?=\p{Script=Han})/gu, "$1 ");
}
