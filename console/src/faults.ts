/* What is wrong with the fields of a form: a text beside each of them (FieldFault.vue), the focus on the first one. What was
 * typed stays. A form that does this has `novalidate`: the browser's own bubble is in its own language, and vanishes. */
import { nextTick, reactive, useId } from "vue";
import { i18n } from "@/i18n";

export function useFaults() {
  const id = useId();
  const texts = reactive<Record<string, string>>({});

  /** The id of the text of `field`. */
  const at = (field: string): string => `${id}-${field}-fault`;
  function clear(field?: string): void {
    for (const f of field ? [field] : Object.keys(texts)) delete texts[f];
  }
  /** For the field itself. `hint`: the id of a text that is there anyway. Its fault goes when something else is typed. */
  const of = (field: string, hint?: string) => ({
    "aria-invalid": texts[field] ? ("true" as const) : undefined,
    "aria-describedby": [texts[field] ? at(field) : "", hint ?? ""].filter(Boolean).join(" ") || undefined,
    onInput: () => clear(field),
  });
  /** Shows these and no others; empty ones are none. True: there is one. `form`: where the focus goes to the first. */
  async function show(found: Record<string, string>, form?: HTMLElement | string | null): Promise<boolean> {
    clear();
    for (const [field, text] of Object.entries(found)) if (text) texts[field] = text;
    if (!Object.keys(texts).length) return false;
    await focusFirst(form);
    return true;
  }
  return { texts, at, of, show, clear };
}

/** The first field of a form that is not right. */
export async function focusFirst(form?: HTMLElement | string | null): Promise<void> {
  await nextTick();
  const box = typeof form === "string" ? document.getElementById(form) : form;
  const field = (box ?? document).querySelector<HTMLElement>('[aria-invalid="true"]');
  field?.closest("details")?.setAttribute("open", "");
  field?.focus();
}

/* --- what is wrong with one text; "": nothing --- */

export function needed(text: string): string {
  return text.trim() ? "" : i18n.global.t("form.needed");
}
export function tooLong(text: string, most: number): string {
  const n = new TextEncoder().encode(text).length;
  return n > most ? i18n.global.t("form.tooLong", { most, n }) : "";
}
/** The rule of the broker for names (core/base/address.h has none of its own: config/sections.c). */
export function badName(text: string): string {
  const good = /^[A-Za-z0-9_.:-]{1,128}$/.test(text) && /[A-Za-z0-9]/.test(text);
  return text && !good ? i18n.global.t("form.badName") : "";
}
export function badNumber(text: string | number, least: number, most: number): string {
  const s = String(text).trim();
  const good = /^-?\d{1,15}$/.test(s) && Number(s) >= least && Number(s) <= most;
  return good ? "" : i18n.global.t("form.badNumber", { least, most });
}
