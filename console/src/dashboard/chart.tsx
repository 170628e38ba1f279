import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import { clock, inUnit } from "../format";
import { world } from "../live";
import { useStore } from "../store";
import { theme } from "../theme";
import { colour } from "./colours";
import { columns, plot, type Look } from "./plot";
import type { Frame } from "./series";

const TOP = 6;

export interface ChartProps {
  frame: Frame;
  unit: string;
  stack: boolean;
  threshold: number | null;
}

export function Chart({ frame, unit, stack, threshold }: ChartProps): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const [index, setIndex] = useState<number | null>(null);
  const now = useStore(theme);
  const regions = useStore(world)?.regions ?? [];
  const colours = frame.lines.map((line, i) => colour(line, i, regions, now));
  const shape = `${now} ${colours.length} ${frame.lines.map((line) => line.name).join()}`;
  useEffect(() => {
    if (!host.current) return;
    const look: Look = { unit, stack, threshold, colours, ...ink(host.current) };
    const made = plot(host.current, frame, look, setIndex);
    chart.current = made;
    const stop = follow(host.current, made);
    return () => {
      stop();
      made.destroy();
      chart.current = null;
    };
  }, [shape, unit, stack]);
  useEffect(() => chart.current?.setData(columns(frame, stack)), [frame]);
  return (
    <div class="chart">
      <div class="canvas" ref={host} aria-hidden="true" />
      {index !== null && <Reading frame={frame} index={index} unit={unit} colours={colours} />}
    </div>
  );
}

function ink(host: HTMLElement): Pick<Look, "ink" | "grid" | "bad" | "font"> {
  const style = getComputedStyle(host);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  return { ink: colour("--muted"), grid: colour("--line"), bad: colour("--bad"), font: `11px ${style.fontFamily}` };
}

/** Keeps the chart as large as its host. */
function follow(host: HTMLElement, chart: uPlot): () => void {
  const watcher = new ResizeObserver(([entry]) => {
    const { width, height } = entry!.contentRect;
    if (width > 0 && Math.abs(width - chart.width) >= 1)
      chart.setSize({ width: Math.floor(width), height: Math.floor(height) });
  });
  watcher.observe(host);
  return () => watcher.disconnect();
}

interface ReadingProps {
  frame: Frame;
  index: number;
  unit: string;
  colours: string[];
}

/** The values under the pointer, largest first. */
function Reading({ frame, index, unit, colours }: ReadingProps): JSX.Element {
  const rows = frame.lines
    .map((line, i) => ({ name: line.name, value: line.values[index] ?? null, colour: colours[i] }))
    .sort((a, b) => (b.value ?? -1) - (a.value ?? -1));
  const left = index < frame.times.length / 2;
  return (
    <div class={`reading ${left ? "right" : "left"}`} aria-hidden="true">
      <p>{clock((frame.times[index] ?? 0) * 1000)}</p>
      {rows.slice(0, TOP).map((row) => (
        <p key={row.name}>
          <i class="swatch" style={{ background: row.colour }} /> {row.name} <b>{inUnit(row.value, unit)}</b>
        </p>
      ))}
      {rows.length > TOP && <p>and {rows.length - TOP} more</p>}
    </div>
  );
}
