/** Arcs of matches: drawn by hand, since they come and go faster than components. */

import type { LineString } from "geojson";
import { stillness } from "../theme";
import type { Match, Region } from "../types";
import { place, type Chart } from "./projection";

const SVG = "http://www.w3.org/2000/svg";
const LIFE_MS = 2500;
/** Arcs at once; a burst beyond it thickens what is there. */
const MOST = 90;
/** Matches on one path within this time are one arc. */
const MERGE_MS = 400;

export class Arcs {
  readonly #recent = new Map<string, number>();

  constructor(
    private readonly layer: SVGGElement,
    private readonly scene: () => { chart: Chart; regions: readonly Region[] } | null,
  ) {}

  draw(match: Match): void {
    const scene = this.scene();
    if (!scene || document.hidden) return;
    const from = scene.regions.find((r) => r.name === match.written_in);
    const to = scene.regions.find((r) => r.name === match.region);
    if (!to || !from || !this.#first(from, to)) return;
    if (from !== to) this.#path(scene.chart, from, to);
    this.#ring(scene.chart, to);
  }

  clear(): void {
    this.layer.replaceChildren();
  }

  #first(from: Region, to: Region): boolean {
    const key = `${from.name} ${to.name}`;
    const now = performance.now();
    const before = this.#recent.get(key) ?? -Infinity;
    if (now - before < MERGE_MS || this.layer.childElementCount > 2 * MOST) return false;
    this.#recent.set(key, now);
    return true;
  }

  #path(chart: Chart, from: Region, to: Region): void {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", chart.path(greatCircle(from, to)) ?? "");
    path.setAttribute("pathLength", "1");
    path.setAttribute("class", "arc");
    path.dataset.from = from.name;
    path.dataset.to = to.name;
    this.#show(path);
  }

  #ring(chart: Chart, to: Region): void {
    const [x, y] = place(chart, to.longitude, to.latitude);
    const ring = document.createElementNS(SVG, "circle");
    ring.setAttribute("cx", x.toFixed(1));
    ring.setAttribute("cy", y.toFixed(1));
    ring.setAttribute("r", "12");
    ring.setAttribute("class", "pulse");
    this.#show(ring);
  }

  #show(element: SVGElement): void {
    element.classList.toggle("still", stillness.matches);
    this.layer.append(element);
    window.setTimeout(() => element.remove(), LIFE_MS);
  }
}

function greatCircle(from: Region, to: Region): LineString {
  return {
    type: "LineString",
    coordinates: [
      [from.longitude, from.latitude],
      [to.longitude, to.latitude],
    ],
  };
}
