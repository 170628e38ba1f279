import type { JSX } from "preact";
import { health, type Health } from "../health";
import type { Region } from "../types";

/** Radius of the traffic ring, pixels: area follows the requests per second. */
function trafficRadius(rate: number): number {
  return Math.min(34, 9 + 2.4 * Math.sqrt(rate));
}

/** A hub is a diamond, a regional a smaller circle; what is down is a cross. */
function outline(region: Region, state: Health): string {
  if (state === "down") return "M-5,-5L5,5M-5,5L5,-5";
  if (region.role === "hub") return "M0,-8L8,0L0,8L-8,0Z";
  return "M-4.5,0A4.5,4.5 0 1 1 4.5,0A4.5,4.5 0 1 1 -4.5,0Z";
}

/** The left half of the outline: filled while another region answers. */
function half(region: Region): string {
  if (region.role === "hub") return "M0,-8L0,8L-8,0Z";
  return "M0,-4.5A4.5,4.5 0 0 0 0,4.5Z";
}

interface Props {
  region: Region;
  x: number;
  y: number;
  chosen: boolean;
}

export function Marker({ region, x, y, chosen }: Props): JSX.Element {
  const state = health(region);
  const rate = region.requests_per_second;
  return (
    <g
      class={`marker ${state} ${region.role}`}
      data-region={region.name}
      data-health={state}
      transform={`translate(${x.toFixed(1)},${y.toFixed(1)})`}
    >
      {rate > 0.05 && <circle class="traffic" r={trafficRadius(rate).toFixed(1)} />}
      {chosen && <circle class="chosen" r="14" />}
      <path class="shape" d={outline(region, state)} />
      {state === "elsewhere" && <path class="half" d={half(region)} />}
    </g>
  );
}
