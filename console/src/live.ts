/** The live world: one event stream of the control plane, and its absence. */

import { Feed } from "./matches";
import { Store } from "./store";
import type { Match, World } from "./types";

export type Link = "connecting" | "live" | "lost";

/** Without a `world` event for this long the control plane counts as gone. */
const SILENCE_MS = 5000;
const RETRY_MS = 1500;

export const world = new Store<World | null>(null);
export const link = new Store<Link>("connecting");
/** When the last `world` event came, milliseconds; 0 before the first. */
export const lastSeen = new Store(0);
export const feed = new Feed();

let source: EventSource | null = null;
let retry: number | undefined;

export function connect(): void {
  open();
  window.setInterval(watchSilence, 1000);
}

function open(): void {
  source?.close();
  source = new EventSource("/console/events");
  source.addEventListener("world", (event) => hearWorld(event as MessageEvent<string>));
  source.addEventListener("match", (event) => hearMatch(event as MessageEvent<string>));
  source.addEventListener("error", lose);
}

function hearWorld(event: MessageEvent<string>): void {
  world.value = JSON.parse(event.data) as World;
  lastSeen.value = Date.now();
  link.value = "live";
}

function hearMatch(event: MessageEvent<string>): void {
  feed.add(JSON.parse(event.data) as Match);
}

function lose(): void {
  link.value = "lost";
  source?.close();
  window.clearTimeout(retry);
  retry = window.setTimeout(open, RETRY_MS);
}

function watchSilence(): void {
  const silent = Date.now() - lastSeen.value > SILENCE_MS;
  if (link.value === "live" && silent) lose();
}
