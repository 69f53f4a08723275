import { reactive } from "vue";

export interface Toast {
  id: number;
  text: string;
  bad: boolean;
  link?: { to: string; text: string };
  act?: { text: string; fn: () => void };
}

let next = 1;
export const toasts = reactive<Toast[]>([]);

export function closeToast(id: number): void {
  const at = toasts.findIndex((x) => x.id === id);
  if (at >= 0) toasts.splice(at, 1);
}

/** Says what was done, for 8 s; what went wrong stays until it is closed. */
export function tell(text: string, more: Partial<Omit<Toast, "id" | "text">> = {}): number {
  const id = next++;
  toasts.push({ id, text, bad: false, ...more });
  if (!more.bad) window.setTimeout(() => closeToast(id), 8000);
  return id;
}
