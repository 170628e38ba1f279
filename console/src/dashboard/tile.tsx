import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { inUnit } from "../format";
import type { DataSet, Scorecard, Tile, XyChart } from "../types";
import { world } from "../live";
import { useStore } from "../store";
import { theme } from "../theme";
import { Chart, type ChartProps } from "./chart";
import { colour } from "./colours";
import { latest, type Column, type Frame, type Line } from "./series";
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
      {drawn && <Told frame={frame} unit={unit} stack={stack} threshold={threshold} />}
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

/** The chart in a sentence, for everybody; a few lines are named with their colour. */
function Told({ frame, unit, stack, threshold }: ChartProps): JSX.Element {
  const now = useStore(theme);
  const regions = useStore(world)?.regions ?? [];
  const named = frame.lines.length <= MOST_NAMED && !stack;
  const goal = threshold === null ? "" : ` · goal ${inUnit(threshold, unit)}`;
  if (!named) return <p class="now">{summary(frame.lines, unit, stack)}{goal}</p>;
  return (
    <p class="now">
      {frame.lines.map((line, i) => (
        <span key={line.name}>
          {i > 0 && " · "}
          <i class="swatch" style={{ background: colour(line, i, regions, now) }} />
          {line.name} {inUnit(latest(line.values), unit)}
        </span>
      ))}
      {goal}
    </p>
  );
}

function summary(lines: Line[], unit: string, stack: boolean): string {
  const now = lines.map((line) => ({ name: line.name, value: latest(line.values) ?? 0 }));
  const most = now.reduce((a, b) => (b.value > a.value ? b : a));
  const alike = now.filter(({ value }) => value === most.value).length;
  const sum = now.reduce((total, { value }) => total + value, 0);
  if (most.value === 0) return `${inUnit(0, unit)} everywhere`;
  const all = stack ? `all ${inUnit(sum, unit)} · ` : "";
  return `${all}most ${inUnit(most.value, unit)} ${alike > 1 ? `in ${alike} of them` : `in ${most.name}`}`;
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
function Spark({ values }: { values: Column }): JSX.Element {
  return (
    <svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      <path d={sparkPath(values)} />
    </svg>
  );
}

/** A stroke for each run of values: where there are none, there is no line. */
function sparkPath(values: Column): string {
  const most = Math.max(...values.map((value) => value ?? 0), 1e-9);
  const step = 100 / Math.max(1, values.length - 1);
  const point = (value: number, i: number): string =>
    `${(i * step).toFixed(1)},${(22 - (value / most) * 20).toFixed(1)}`;
  return values
    .map((value, i) => {
      if (value === null) return "";
      return `${(values[i - 1] ?? null) === null ? "M" : "L"}${point(value, i)}`;
    })
    .join("");
}
