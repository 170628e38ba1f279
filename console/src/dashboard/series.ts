/** From Prometheus' answer to columns that a chart can draw. Pure functions. */

import type { Labels, RangeAnswer, RangeSeries } from "../types";

export const WINDOW_SECONDS = 600;
export const STEP_SECONDS = 5;

export type Column = (number | null)[];

export interface Line {
  name: string;
  labels: Labels;
  values: Column;
}

export interface Frame {
  /** Unix times, seconds, one for each step. */
  times: number[];
  lines: Line[];
}

/** The last ten minutes as steps; whole steps, so that equal questions are equal. */
export function steps(now: number): number[] {
  const end = Math.floor(now / STEP_SECONDS) * STEP_SECONDS;
  const length = WINDOW_SECONDS / STEP_SECONDS + 1;
  return Array.from({ length }, (_, i) => end - WINDOW_SECONDS + i * STEP_SECONDS);
}

export function queryPath(query: string, times: number[]): string {
  const range = { start: times[0], end: times.at(-1), step: STEP_SECONDS };
  const text = Object.entries({ query, ...range }).map(([k, v]) => [k, String(v)]);
  return `/console/query?${new URLSearchParams(text)}`;
}

export function lines(answer: RangeAnswer, times: number[], legend: string | null): Line[] {
  const series = answer.data?.result ?? [];
  return series
    .map((one) => ({ name: named(one.metric, legend), labels: one.metric, values: column(one, times) }))
    .filter((line) => line.values.some((value) => value !== null))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** `{{region}} from {{origin}}` filled from the labels. */
export function named(labels: Labels, template: string | null): string {
  if (template) return template.replace(/\{\{\s*([\w.]+)\s*\}\}/g, (_, key: string) => labels[key] ?? "");
  const values = Object.entries(labels).filter(([key]) => key !== "__name__");
  return values.map(([, value]) => value).join(" ") || "value";
}

function column(series: RangeSeries, times: number[]): Column {
  const first = times[0] ?? 0;
  const values: Column = times.map(() => null);
  for (const [time, text] of series.values) {
    const value = Number(text);
    const index = Math.round((time - first) / STEP_SECONDS);
    if (Number.isFinite(value) && index >= 0 && index < values.length) values[index] = value;
  }
  return values;
}

export function latest(values: Column): number | null {
  return values.findLast((value) => value !== null) ?? null;
}

/** Each column on top of those before it; nothing where no column has a value. */
export function stacked(columns: Column[]): Column[] {
  const sums: Column = [];
  for (const values of columns)
    values.forEach((value, i) => (sums[i] ??= value === null ? null : 0));
  return columns.map((values) =>
    values.map((value, i) => {
      const below = sums[i] ?? null;
      sums[i] = below === null ? null : below + (value ?? 0);
      return sums[i] ?? null;
    }),
  );
}
