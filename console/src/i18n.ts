import { createI18n } from "vue-i18n";
import en from "./locales/en.json";
import zh from "./locales/zh.json";

export type Language = "en" | "zh";
const KEY = "pepperbus.language";

function preferred(): Language {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export const i18n = createI18n({
  legacy: false,
  locale: preferred(),
  fallbackLocale: "en",
  messages: { en, zh },
});

export function language(): Language {
  return i18n.global.locale.value as Language;
}

export function setLanguage(to: Language): void {
  i18n.global.locale.value = to;
  localStorage.setItem(KEY, to);
  document.documentElement.lang = to === "zh" ? "zh-CN" : "en";
}

document.documentElement.lang = preferred() === "zh" ? "zh-CN" : "en";
