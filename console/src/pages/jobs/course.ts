/* What a job went through at one place, from the times that are known of it. */
import type { JobPlace } from "@/api/types";

export interface Step {
  what: "waited" | "delayed" | "failing" | "running" | "retry" | "dead" | "waits" | "settled";
  from: number;
  to: number; // now, where it goes on
}

/** `first`: the first failure, where it is known. */
export function courseOf(place: JobPlace, accepted: number, first: number | null, now: number): Step[] {
  const steps: Step[] = [];
  const add = (what: Step["what"], from: number, to: number) => {
    if (to > from) steps.push({ what, from, to });
  };
  const since = place.since_ms ?? accepted;
  switch (place.state) {
    case "delayed":
      add("delayed", accepted, Math.max(now, accepted));
      break;
    case "ready":
      add("waits", accepted, now);
      break;
    case "running": {
      const failed = first && first < since ? first : null;
      add("waited", accepted, failed ?? since);
      if (failed) add("failing", failed, since);
      add("running", since, now);
      break;
    }
    case "retry":
      add("waited", accepted, first ?? since);
      if (first) add("failing", first, since);
      add("retry", since, now);
      break;
    case "dead":
    case "quarantine": {
      const died = place.due_ms ?? since;
      add("waited", accepted, first ?? died);
      if (first) add("failing", first, died);
      add("dead", died, now);
      break;
    }
    case "settled":
      break;
  }
  return steps;
}
