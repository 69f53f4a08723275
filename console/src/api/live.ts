import { onScopeDispose, ref, type Ref } from "vue";
import { address } from "./client";

/**
 * Figures as the broker sends them (/api/v1/events). A hidden tab closes its stream, a broken one is
 * opened again after 1 s, 2 s, ... 15 s. `age` counts the seconds since the last message.
 */
export interface Live {
  age: Ref<number>;
  hidden: Ref<boolean>;
}

export function useLive(on: Record<string, (data: unknown) => void>): Live {
  const age = ref(0);
  const hidden = ref(document.hidden);
  let source: EventSource | null = null;
  let last = Date.now();
  let wait = 1000;
  let timer = 0;

  function heard(): void {
    last = Date.now();
    age.value = 0;
    wait = 1000;
  }
  function close(): void {
    source?.close();
    source = null;
    window.clearTimeout(timer);
  }
  function open(): void {
    close();
    const stream = new EventSource(address("/api/v1/events"));
    source = stream;
    for (const [name, fn] of Object.entries(on))
      stream.addEventListener(name, (e) => {
        heard();
        fn(JSON.parse((e as MessageEvent<string>).data));
      });
    stream.onopen = heard;
    stream.onerror = () => {
      if (source !== stream) return;
      close();
      timer = window.setTimeout(open, wait);
      wait = Math.min(2 * wait, 15_000);
    };
  }
  function seen(): void {
    hidden.value = document.hidden;
    if (document.hidden) close();
    else open();
  }
  const tick = window.setInterval(() => {
    age.value = hidden.value ? 0 : Math.floor((Date.now() - last) / 1000);
  }, 1000);
  document.addEventListener("visibilitychange", seen);
  if (!document.hidden) open();
  onScopeDispose(() => {
    close();
    window.clearInterval(tick);
    document.removeEventListener("visibilitychange", seen);
  });
  return { age, hidden };
}
