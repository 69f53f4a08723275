import { i18n } from "@/i18n";
import { ApiError } from "./client";

/** What went wrong, as a sentence for people. */
export function explain(e: unknown): string {
  const { t } = i18n.global;
  if (!(e instanceof ApiError)) return t("error.other", { text: String((e as Error)?.message ?? e) });
  if (e.status === 0) return t("error.away");
  if (e.status === 403) return t("error.forbidden", { text: e.message });
  return t("error.other", { text: e.message });
}
