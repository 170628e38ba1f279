import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { count, milliseconds } from "../format";
import { cityOf, health, healthWord, shortCity, SIGN } from "../health";
import { world } from "../live";
import { pointed, select, selected } from "../selection";
import { useStore } from "../store";
import type { Region } from "../types";

type Value = string | number;

interface Column {
  key: string;
  title: string;
  numeric?: boolean;
  /** What the rows are ordered by. */
  value: (region: Region) => Value;
}

const HEALTH_ORDER = { down: 0, elsewhere: 1, unserved: 2, up: 3 };

const COLUMNS: Column[] = [
  { key: "region", title: "Region", value: shortCity },
  { key: "role", title: "Role", value: (r) => `${r.role === "hub" ? 0 : 1} ${r.hub} ${r.name}` },
  { key: "health", title: "Health", value: (r) => HEALTH_ORDER[health(r)] },
  { key: "instances", title: "Instances", numeric: true, value: (r) => r.instances },
  { key: "latency", title: "Latency", numeric: true, value: (r) => r.latency_ms ?? Infinity },
  { key: "traffic", title: "Requests/s", numeric: true, value: (r) => r.requests_per_second },
];

export function RegionTable(): JSX.Element {
  const regions = useStore(world)?.regions;
  const [order, setOrder] = useState({ key: "role", down: false });
  const sorted = sort(regions ?? [], order);
  const turn = (key: string): void =>
    setOrder({ key, down: key === order.key ? !order.down : false });
  return (
    <section id="regions" tabIndex={-1} aria-labelledby="regions-title" class="regions">
      <h2 id="regions-title">Regions</h2>
      <table class="regions-table">
        <thead>
          <tr>
            {COLUMNS.map((column) => (
              <Head key={column.key} column={column} order={order} turn={turn} />
            ))}
          </tr>
        </thead>
        <tbody onKeyDown={walk}>
          {sorted.map((region) => (
            <Row key={region.name} region={region} regions={sorted} />
          ))}
        </tbody>
      </table>
      {regions?.length === 0 && <p class="empty">No region is declared yet: <code>meridian up</code> declares them.</p>}
    </section>
  );
}

interface Order {
  key: string;
  down: boolean;
}

function sort(regions: readonly Region[], { key, down }: Order): Region[] {
  const column = COLUMNS.find((one) => one.key === key) ?? COLUMNS[0]!;
  const sign = down ? -1 : 1;
  return [...regions].sort((a, b) => sign * compare(column.value(a), column.value(b)));
}

function compare(a: Value, b: Value): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

interface HeadProps {
  column: Column;
  order: Order;
  turn: (key: string) => void;
}

function Head({ column, order, turn }: HeadProps): JSX.Element {
  const by = order.key === column.key;
  const sorted = by ? (order.down ? "descending" : "ascending") : undefined;
  return (
    <th scope="col" class={column.key} {...(sorted && { "aria-sort": sorted })}>
      <button type="button" onClick={() => turn(column.key)}>
        {column.title}
        <span class="direction" aria-hidden="true">{by ? (order.down ? "↓" : "↑") : ""}</span>
      </button>
    </th>
  );
}

function Row({ region, regions }: { region: Region; regions: Region[] }): JSX.Element {
  const chosen = useStore(selected) === region.name;
  const under = useStore(pointed) === region.name;
  const state = health(region);
  return (
    <tr
      class={`${state}${chosen ? " chosen" : ""}${under ? " under" : ""}`}
      data-region={region.name}
      onClick={() => select(region.name)}
      onPointerEnter={() => (pointed.value = region.name)}
      onPointerLeave={() => (pointed.value = null)}
    >
      <th scope="row" class="region">
        <button type="button" aria-expanded={chosen} aria-controls="region-panel">
          {shortCity(region)}
        </button>
        <span class="name">{region.name}</span>
      </th>
      <td class="role">{region.role === "hub" ? "hub" : `of ${cityOf(regions, region.hub)}`}</td>
      <td class="health">
        <span class="sign" aria-hidden="true">{SIGN[state]}</span> {told(region, regions)}
      </td>
      <td class="instances">
        {region.instances}<span class="of"> of {region.maximum}</span>
      </td>
      <td class="latency">{milliseconds(region.latency_ms)}</td>
      <td class="traffic">{count(region.requests_per_second)}</td>
    </tr>
  );
}

function told(region: Region, regions: Region[]): string {
  if (health(region) !== "elsewhere") return healthWord(region);
  return `down, ${cityOf(regions, region.served_by)} answers`;
}

/** Arrow keys go from row to row; Enter and Space press the row's button. */
function walk(event: KeyboardEvent): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !(event.currentTarget instanceof HTMLElement)) return;
  const buttons = [...event.currentTarget.querySelectorAll<HTMLElement>("th button")];
  const here = buttons.indexOf(document.activeElement as HTMLElement);
  const next = buttons[here + step];
  if (here < 0 || !next) return;
  event.preventDefault();
  next.focus();
}
