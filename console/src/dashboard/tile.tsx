import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { inUnit } from "../format";
import type { DataSet, Scorecard, Tile, XyChart } from "../types";
import { Chart } from "./chart";
import { latest, type Frame } from "./series";
import { useFrame } from "./use-frame";

const MOST_NAMED = 4;

export function TileView({ tile }: { tile: Tile }): JSX.Element {
  const { title, xyChart, scorecard, text } = tile.widget;
  const x = (tile.xPos ?? 0) + 1;
  const y = (tile.yPos ?? 0) + 1;
  const place = {
    "--column": `${x} / span ${tile.width}`,
    "--row": `${y} / span ${tile.height}`,
    "--height": tile.height,
  };
  return (
    <figure class={scorecard ? "tile score-tile" : "tile"} style={place} data-tile={title ?? ""}>
      <figcaption>{title}</figcaption>
      {xyChart && <ChartTile chart={xyChart} />}
      {scorecard && <ScoreTile score={scorecard} />}
      {text && <p>{text.content}</p>}
      {!xyChart && !scorecard && !text && <p class="empty">This page does not draw this kind of tile.</p>}
    </figure>
  );
}

function ChartTile({ chart }: { chart: XyChart }): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const { frame, problem } = useFrame(host, chart.dataSets);
  const first = chart.dataSets[0];
  const unit = first?.timeSeriesQuery.unitOverride ?? "1";
  const stack = first?.plotType?.startsWith("STACKED") ?? false;
  const threshold = chart.thresholds?.[0]?.value ?? null;
  const drawn = frame !== null && frame.lines.length > 0;
  return (
    <div class="body" ref={host} data-drawn={drawn}>
      <Note frame={frame} problem={problem} />
      {drawn && <p class="now">{told(frame, unit, stack, threshold)}</p>}
      {drawn && <Chart frame={frame} unit={unit} stack={stack} threshold={threshold} />}
    </div>
  );
}

function Note({ frame, problem }: { frame: Frame | null; problem: string }): JSX.Element | null {
  if (problem) return <p class="problem">{problem}</p>;
  if (!frame) return <p class="empty">Asking Prometheus…</p>;
  if (!frame.lines.length) return <p class="empty">No data in the last ten minutes.</p>;
  return null;
}

/** The chart in a sentence, for everybody. */
function told(frame: Frame, unit: string, stack: boolean, threshold: number | null): string {
  const now = frame.lines.map((line) => ({ name: line.name, value: latest(line.values) ?? 0 }));
  const words = now.length <= MOST_NAMED && !stack
    ? now.map(({ name, value }) => `${name} ${inUnit(value, unit)}`)
    : summary(now, unit, stack);
  if (threshold !== null) words.push(`goal ${inUnit(threshold, unit)}`);
  return words.join(" · ");
}

function summary(now: { name: string; value: number }[], unit: string, stack: boolean): string[] {
  const most = now.reduce((a, b) => (b.value > a.value ? b : a));
  const sum = now.reduce((total, { value }) => total + value, 0);
  const words = stack ? [`all ${inUnit(sum, unit)}`] : [];
  if (most.value > 0) words.push(`most ${inUnit(most.value, unit)} in ${most.name}`);
  return words.length ? words : [`${inUnit(0, unit)} everywhere`];
}

function ScoreTile({ score }: { score: Scorecard }): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const set: DataSet = { timeSeriesQuery: score.timeSeriesQuery };
  const { frame, problem } = useFrame(host, [set]);
  const unit = score.timeSeriesQuery.unitOverride ?? "1";
  const values = frame?.lines[0]?.values;
  return (
    <div class="body" ref={host} data-drawn={values !== undefined}>
      {values ? <output>{inUnit(latest(values), unit)}</output> : <Note frame={frame} problem={problem} />}
      {values && <Spark values={values} />}
    </div>
  );
}

/** The course of ten minutes in one stroke. */
function Spark({ values }: { values: (number | null)[] }): JSX.Element {
  const most = Math.max(...values.map((value) => value ?? 0), 1e-9);
  const step = 100 / Math.max(1, values.length - 1);
  const points = values.flatMap((value, i) =>
    value === null ? [] : [`${(i * step).toFixed(1)},${(22 - (value / most) * 20).toFixed(1)}`],
  );
  return (
    <svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points.join(" ")} />
    </svg>
  );
}
