import type { Span, Trace } from "../types";

/** Steps in the order a change takes them; each has a colour of its own. */
export const STEPS = ["write", "commit", "publish", "apply", "feed", "match", "notify"];

/** Where a span lies within its trace, in percent of the whole. */
export interface Bar {
  readonly span: Span;
  readonly left: number;
  readonly width: number;
}

export interface Row {
  readonly region: string;
  /** Milliseconds after the trace's begin at which the last step ended here. */
  readonly ended: number;
  readonly bars: readonly Bar[];
}

/** A row for each region, in the order in which the change reached them. */
export function rows(trace: Trace): Row[] {
  const whole = Math.max(trace.ms, 1e-6);
  const byRegion = new Map<string, Span[]>();
  for (const span of trace.spans) {
    const there = byRegion.get(span.region);
    if (there) there.push(span);
    else byRegion.set(span.region, [span]);
  }
  return [...byRegion].map(([region, spans]) => ({
    region,
    ended: Math.max(...spans.map((span) => span.began + span.ms - trace.began)),
    bars: spans.map((span) => ({
      span,
      left: ((span.began - trace.began) / whole) * 100,
      width: (span.ms / whole) * 100,
    })),
  }));
}
