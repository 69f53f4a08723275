import { ref, watchEffect } from "vue";

export type Theme = "system" | "light" | "dark";
const KEY = "pepperbus.theme";
const stored = localStorage.getItem(KEY);

export const theme = ref<Theme>(stored === "light" || stored === "dark" ? stored : "system");

watchEffect(() => {
  localStorage.setItem(KEY, theme.value);
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
});
