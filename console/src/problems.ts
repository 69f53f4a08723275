/* A problem in the page's language: the broker's sentence is English, and says what it is made of. */
import { useI18n } from "vue-i18n";
import { duration } from "@/numbers";
import type { Problem } from "@/api/types";

export function useProblemText(): (p: Problem) => string {
  const { t, te } = useI18n();
  return (p) => {
    const { form, why, for_ms, ...rest } = p.params;
    const key = `problemText.${p.kind}${form ? `_${form}` : ""}`;
    if (!te(key)) return p.text; // of a newer broker
    const what = t(key, { subject: p.subject, for: for_ms ? duration(for_ms) : "", ...rest });
    if (!why) return t("problemText._plain", { what });
    return t(/[?!]$/.test(why) ? "problemText._asks" : "problemText._why", { what, why }); // one mark at its end
  };
}
