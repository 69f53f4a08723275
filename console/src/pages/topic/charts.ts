/* Rows of the history as a chart wants them: a step without anything is 0, times are null then. */
import type { ChartRow } from "@/components/TimeChart.vue";

export const RANGES = { "1h": { ms: 3_600_000, step: 60 }, "24h": { ms: 86_400_000, step: 600 }, "30d": { ms: 30 * 86_400_000, step: 14_400 } } as const;
export type Range = keyof typeof RANGES;

interface Row {
  at_ms: number;
  accepted: number;
  done: number;
  failed: number;
  ready?: number;
  failed_jobs?: number;
  oldest_s?: number;
  run?: { p50_ms?: number | null; p99_ms?: number | null } | null;
  wait?: { p50_ms?: number | null; p99_ms?: number | null } | null;
}

export function chartRows(rows: readonly Row[], from: number, to: number, stepS: number): ChartRow[] {
  const step = stepS * 1000;
  const by = new Map(rows.map((r) => [r.at_ms, r]));
  const out: ChartRow[] = [];
  for (let ms = Math.ceil(from / step) * step; ms <= to - step; ms += step) {
    const r = by.get(ms);
    out.push({
      ms,
      accepted: (r?.accepted ?? 0) / stepS,
      done: (r?.done ?? 0) / stepS,
      failed: (r?.failed ?? 0) / stepS,
      ready: r?.ready ?? 0,
      failed_jobs: r?.failed_jobs ?? 0,
      run50: r?.run?.p50_ms ?? null,
      run99: r?.run?.p99_ms ?? null,
      wait99: r?.wait?.p99_ms ?? null,
    });
  }
  return out;
}
