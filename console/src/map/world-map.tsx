import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { cityOf, health, shortCity } from "../health";
import { feed, world } from "../live";
import { pointed, select, selected } from "../selection";
import { useStore } from "../store";
import type { Region } from "../types";
import { Arcs } from "./arcs";
import { layOut, type Label, type Wanted } from "./labels";
import { Legend } from "./legend";
import { Marker } from "./markers";
import { chart, place, type Chart, type Size } from "./projection";

const NEAR = 24;
const ASPECT = 0.49;
const GLYPH = 6.6;

interface Spot {
  region: Region;
  x: number;
  y: number;
}

export function WorldMap(): JSX.Element {
  const frame = useRef<HTMLDivElement>(null);
  const size = useSize(frame);
  const regions = useStore(world)?.regions ?? [];
  const drawn = useMemo(() => (size ? chart(size) : null), [size?.width, size?.height]);
  const layer = useArcs(drawn, regions);
  const spots = drawn ? regions.map((region) => spot(drawn, region)) : [];
  const near = (event: MouseEvent): Region | null => nearest(spots, event);
  return (
    <div
      class="map"
      ref={frame}
      onClick={(event) => act(near(event))}
      onPointerMove={(event) => (pointed.value = near(event)?.name ?? null)}
      onPointerLeave={() => (pointed.value = null)}
    >
      {size && drawn && (
        <svg
          width={size.width}
          height={size.height}
          viewBox={`0 0 ${size.width} ${size.height}`}
          role="img"
          aria-label={summary(regions)}
        >
          <path class="graticule" d={drawn.graticule} />
          <path class="land" d={drawn.land} />
          <path class="meridian" d={drawn.meridian} />
          <Tether drawn={drawn} regions={regions} />
          <g ref={layer} class="arcs" />
          <Places spots={spots} size={size} regions={regions} />
        </svg>
      )}
      <Legend />
    </div>
  );
}

function act(region: Region | null): void {
  if (region) select(region.name);
}

function summary(regions: readonly Region[]): string {
  const up = regions.filter((region) => region.ready).length;
  return `World map: ${up} of ${regions.length} regions ready. The table of regions holds the same.`;
}

function spot(drawn: Chart, region: Region): Spot {
  const [x, y] = place(drawn, region.longitude, region.latitude);
  return { region, x, y };
}

function nearest(spots: Spot[], event: MouseEvent): Region | null {
  const frame = (event.currentTarget as HTMLElement).getBoundingClientRect();
  const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
  let best: Spot | null = null;
  let least = NEAR;
  for (const one of spots) {
    const distance = Math.hypot(one.x - x, one.y - y);
    if (distance < least) [best, least] = [one, distance];
  }
  return best?.region ?? null;
}

/** Size of the frame, whole pixels, followed as it changes. */
function useSize(frame: { current: HTMLElement | null }): Size | null {
  const [size, setSize] = useState<Size | null>(null);
  useEffect(() => {
    if (!frame.current) return;
    const watcher = new ResizeObserver(([entry]) => {
      const width = Math.round(entry?.contentRect.width ?? 0);
      if (width) setSize({ width, height: Math.round(width * ASPECT) });
    });
    watcher.observe(frame.current);
    return () => watcher.disconnect();
  }, [frame]);
  return size;
}

/** The layer of arcs, fed by matches as they happen. */
function useArcs(drawn: Chart | null, regions: readonly Region[]): (node: SVGGElement | null) => void {
  const scene = useRef<{ chart: Chart; regions: readonly Region[] } | null>(null);
  const arcs = useRef<Arcs | null>(null);
  scene.current = drawn && { chart: drawn, regions };
  useEffect(() => feed.onFresh((match) => arcs.current?.draw(match)), []);
  useEffect(() => arcs.current?.clear(), [drawn]);
  return useMemo(
    () => (node) => (arcs.current = node && new Arcs(node, () => scene.current)),
    [],
  );
}

interface PlacesProps {
  spots: Spot[];
  size: Size;
  regions: readonly Region[];
}

function Places({ spots, size, regions }: PlacesProps): JSX.Element {
  const chosen = useStore(selected);
  const under = useStore(pointed);
  const marked = (name: string): boolean => name === chosen || name === under;
  const wanted = spots
    .map((one) => ({ ...one, weight: weight(one.region, marked(one.region.name)) }))
    .sort((a, b) => b.weight - a.weight)
    .map((one) => label(one, regions));
  const labels = layOut(wanted, size.width, size.height, GLYPH);
  return (
    <g>
      {labels.map((one) => (
        <LabelText key={one.key} label={one} strong={marked(one.key)} />
      ))}
      {spots.map(({ region, x, y }) => (
        <Marker key={region.name} region={region} x={x} y={y} chosen={marked(region.name)} />
      ))}
    </g>
  );
}

/** What is wrong is named first, then what is pointed at, then the hubs. */
function weight(region: Region, marked: boolean): number {
  return (health(region) === "up" ? 0 : 4) + (marked ? 2 : 0) + (region.role === "hub" ? 1 : 0);
}

function label({ region, x, y }: Spot, regions: readonly Region[]): Wanted {
  const words: Record<string, string> = {
    up: `${region.instances}`,
    elsewhere: `→ ${cityOf(regions, region.served_by)}`,
    down: "down",
    unserved: "not serving",
  };
  const text = `${shortCity(region)} ${words[health(region)] ?? ""}`;
  return { key: region.name, x, y, text };
}

function LabelText({ label, strong }: { label: Label; strong: boolean }): JSX.Element {
  const [middle, end] = [label.left + (label.text.length * GLYPH) / 2, label.base - 4];
  return (
    <g class={strong ? "label strong" : "label"}>
      {label.led && <line class="lead" x1={label.x} y1={label.y} x2={middle} y2={end} />}
      <text x={label.left.toFixed(1)} y={label.base.toFixed(1)}>{label.text}</text>
    </g>
  );
}

/** A dotted line from the chosen region to the hub that takes its writes. */
function Tether({ drawn, regions }: { drawn: Chart; regions: readonly Region[] }): JSX.Element | null {
  const chosen = useStore(selected);
  const under = useStore(pointed);
  const region = regions.find((one) => one.name === (under ?? chosen));
  const hub = regions.find((one) => one.name === region?.hub);
  if (!region || !hub || hub === region) return null;
  const ends = [region, hub].map((one) => [one.longitude, one.latitude]);
  return <path class="tether" d={drawn.path({ type: "LineString", coordinates: ends }) ?? ""} />;
}
