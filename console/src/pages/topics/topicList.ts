/* The list of topics: its columns. */
import type { Column } from "@/components/dataTable";
import type { Topic } from "@/api/types";

export const PAGE = 50;
export const STATES = ["open", "paused", "unreachable", "unregistered", "broken", "waiting", "pinging", "disabled", "draining"] as const;

/** `label` names a column. All but name, state and figures of the moment can be left out; some are off at first. */
export function columnsOf(label: (key: string) => string): Column[] {
  const number = (key: string, more: Partial<Column> = {}): Column => ({ key, label: label(key), number: true, sort: true, width: 6, ...more });
  const word = (key: string, more: Partial<Column> = {}): Column => ({ key, label: label(key), sort: true, width: 8, ...more });
  return [
    word("topic", { always: true, width: 15 }),
    word("state", { always: true, width: 14 }),
    { key: "line", label: label("line"), width: 7 },
    number("ready"),
    number("running"),
    number("retry"),
    number("dead"),
    number("delayed", { off: true }),
    number("oldest"),
    number("accepted"),
    number("done"),
    number("failed"),
    number("p50", { sort: false }),
    number("p99", { sort: false }),
    number("workers", { width: 8 }),
    number("eta", { sort: false }),
    word("system", { off: true }),
    word("storage", { off: true }),
    word("pool", { off: true }),
    word("run_type", { off: true }),
    word("since", { off: true }),
    { key: "act", label: label("act"), width: 8 },
  ];
}

/** How much of its workers a topic uses on this node, in percent. */
export function used(x: Pick<Topic, "workers" | "node">): number {
  return x.workers > 0 ? Math.min(100, Math.round((x.node.attempts / x.workers) * 100)) : 0;
}
