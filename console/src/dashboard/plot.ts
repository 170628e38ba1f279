/** uPlot's options for one tile. */

import uPlot from "uplot";
import { inUnit } from "../format";
import { stacked, type Column, type Frame, type Line } from "./series";

export interface Look {
  unit: string;
  stack: boolean;
  threshold: number | null;
  colours: string[];
  ink: string;
  grid: string;
  bad: string;
  font: string;
}

export type Point = (index: number | null) => void;

export function plot(host: HTMLElement, frame: Frame, look: Look, point: Point): uPlot {
  const { width, height } = host.getBoundingClientRect();
  const options: uPlot.Options = {
    width: Math.max(80, Math.floor(width)),
    height: Math.max(80, Math.floor(height)),
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, sync: { key: "board" }, drag: { x: false, y: false } },
    scales: { x: { time: true }, y: { range: (_, __, top) => [0, ceiling(top, look.threshold)] } },
    axes: [timeAxis(look), valueAxis(look)],
    series: [{}, ...frame.lines.map((line, i) => drawn(line, look.colours[i] ?? look.ink, look.stack))],
    hooks: {
      setCursor: [(chart) => point(chart.cursor.idx ?? null)],
      drawSeries: [],
      draw: look.threshold === null ? [] : [(chart) => drawThreshold(chart, look)],
    },
  };
  if (look.stack) options.bands = bands(frame.lines.length);
  return new uPlot(options, columns(frame, look.stack), host);
}

export function columns(frame: Frame, stack: boolean): uPlot.AlignedData {
  const values = frame.lines.map((line) => line.values);
  return [frame.times, ...(stack ? stacked(values) : values)] as [number[], ...Column[]];
}

/** The goal is in view once the values come near it; else it would flatten them. */
function ceiling(top: number | null, threshold: number | null): number {
  const most = (top ?? 0) > 0 ? (top ?? 0) * 1.08 : (threshold ?? 1) / 2;
  return threshold !== null && most > threshold / 3 ? Math.max(most, threshold * 1.1) : most;
}

function timeAxis(look: Look): uPlot.Axis {
  const values: uPlot.Axis.DynamicValues = (_, times) =>
    times.map((time) => new Date(time * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }));
  return {
    stroke: look.ink, font: look.font, size: 24, gap: 4, space: 72, values,
    grid: { show: false }, ticks: { stroke: look.grid, width: 1, size: 4 },
  };
}

function valueAxis(look: Look): uPlot.Axis {
  return {
    stroke: look.ink, font: look.font, size: 60, gap: 6, space: 32,
    values: (_, values) => values.map((value) => inUnit(value, look.unit)),
    grid: { stroke: look.grid, width: 1 }, ticks: { show: false },
  };
}

function drawn(line: Line, stroke: string, stack: boolean): uPlot.Series {
  const series: uPlot.Series = { label: line.name, stroke, width: stack ? 1 : 1.5, points: { show: false } };
  return stack ? { ...series, fill: stroke.startsWith("hsl") ? stroke.replace(")", " / 0.55)") : `${stroke}80` } : series;
}

/** Each stacked line is filled down to the one below it. */
function bands(length: number): uPlot.Band[] {
  return Array.from({ length: Math.max(0, length - 1) }, (_, i) => ({ series: [i + 2, i + 1] as [number, number] }));
}

function drawThreshold(chart: uPlot, look: Look): void {
  const y = chart.valToPos(look.threshold ?? 0, "y", true);
  const { left, top, width, height } = chart.bbox;
  if (y < top || y > top + height) return;
  chart.ctx.save();
  chart.ctx.strokeStyle = look.bad;
  chart.ctx.setLineDash([6, 4]);
  chart.ctx.beginPath();
  chart.ctx.moveTo(left, y);
  chart.ctx.lineTo(left + width, y);
  chart.ctx.stroke();
  chart.ctx.restore();
}
