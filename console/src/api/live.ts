import { onScopeDispose, ref, watch, type Ref } from "vue";
import { address } from "./client";

/**
 * Figures as the broker sends them (/api/v1/events). A hidden tab closes its stream, a broken one is
 * opened again after 1 s, 2 s, ... 15 s. `age` counts the seconds since the last message. All parts of a
 * page share one stream. Events: figures, topics, alert, revision, act; see doc/api.md.
 */
export interface Live {
  age: Ref<number>;
  hidden: Ref<boolean>;
  paused: Ref<boolean>;
  lost: Ref<boolean>; // the stream broke, and is not there again
  pause: (on: boolean) => void;
}

type Listener = Record<string, (data: unknown) => void>;

const NAMES = ["figures", "topics", "alert", "revision", "act"] as const;

function stream() {
  const age = ref(0);
  const hidden = ref(document.hidden);
  const paused = ref(false);
  const lost = ref(false);
  const listeners = new Set<Listener>();
  let source: EventSource | null = null;
  let last = Date.now();
  let wait = 1000;
  let timer = 0;

  function heard(): void {
    last = Date.now();
    age.value = 0;
    wait = 1000;
    lost.value = false;
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
    for (const name of NAMES)
      stream.addEventListener(name, (e) => {
        heard();
        const data: unknown = JSON.parse((e as MessageEvent<string>).data);
        for (const l of listeners) l[name]?.(data);
      });
    stream.onopen = heard;
    stream.onerror = () => {
      if (source !== stream) return;
      close();
      lost.value = true;
      timer = window.setTimeout(open, wait);
      wait = Math.min(2 * wait, 15_000);
    };
  }
  function turn(): void {
    const wanted = listeners.size > 0 && !hidden.value && !paused.value;
    if (wanted && !source) {
      last = Date.now();
      open();
    } else if (!wanted) {
      close();
      lost.value = false;
    }
  }
  document.addEventListener("visibilitychange", () => (hidden.value = document.hidden));
  watch([hidden, paused], turn);
  window.setInterval(() => {
    age.value = hidden.value || paused.value || !listeners.size ? 0 : Math.floor((Date.now() - last) / 1000);
  }, 1000);
  return {
    age,
    hidden,
    paused,
    lost,
    add(l: Listener) {
      listeners.add(l);
      turn();
    },
    remove(l: Listener) {
      listeners.delete(l);
      turn();
    },
  };
}

let shared: ReturnType<typeof stream> | null = null;

export function useLive(on: Listener): Live {
  shared ??= stream();
  const one = shared;
  one.add(on);
  onScopeDispose(() => one.remove(on));
  return { age: one.age, hidden: one.hidden, paused: one.paused, lost: one.lost, pause: (to) => (one.paused.value = to) };
}
