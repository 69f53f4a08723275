import { createI18n } from "vue-i18n";

export type Language = "en" | "zh";
const KEY = "pepperbus.language";

/* A language comes with its first use. */
const files = { en: () => import("./locales/en"), zh: () => import("./locales/zh") };

export const i18n = createI18n({ legacy: false, locale: "en", fallbackLocale: "en", messages: {} as Record<string, Record<string, string>> });

export function language(): Language {
  return i18n.global.locale.value as Language;
}

export async function setLanguage(to: Language): Promise<void> {
  if (!i18n.global.availableLocales.includes(to)) i18n.global.setLocaleMessage(to, (await files[to]()).default as unknown as Record<string, string>);
  i18n.global.locale.value = to;
  document.documentElement.lang = to === "zh" ? "zh-CN" : "en";
}

export async function chooseLanguage(to: Language): Promise<void> {
  localStorage.setItem(KEY, to);
  await setLanguage(to);
}

/** What was chosen here, else what the browser asks for. */
export function preferred(): Language {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}
