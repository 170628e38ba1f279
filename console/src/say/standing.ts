/** Standing queries that the page itself holds open, each on its own connection. */

import { frontDoor, post } from "../api";
import { Store } from "../store";
import type { Heard, ServiceError, WatchMessage, WatchRequest } from "../types";

export const COLLECTION = "demo-commentary";
export const THRESHOLD = 0.45;
/** Length of the sentence model's vectors. */
const DIMENSION = 384;
const RETRY_MS = 1500;

export type State = "off" | "connecting" | "listening" | "refused";

export interface Query {
  id: number;
  text: string;
  region: string;
}

export interface Listening {
  state: State;
  /** Why it is refused. */
  message: string;
}

/** Creates the collection unless it is there; the same request again is answered alike. */
export async function ensureCollection(region: string): Promise<void> {
  await post(frontDoor(region, "v1/collections"), { name: COLLECTION, dimension: DIMENSION });
}

/** One query, listening until closed; connects again by itself. */
export class Standing {
  readonly status = new Store<Listening>({ state: "connecting", message: "" });
  #socket: WebSocket | null = null;
  #timer: number | undefined;
  #closed = false;

  constructor(
    readonly query: Query,
    private readonly hear: (query: Query, heard: Heard) => void,
  ) {
    this.#open();
  }

  close(): void {
    this.#closed = true;
    window.clearTimeout(this.#timer);
    this.#socket?.close();
    this.#say("off");
  }

  #open(): void {
    if (this.#closed) return;
    const socket = new WebSocket(address(this.query.region));
    socket.addEventListener("open", () => socket.send(JSON.stringify(request(this.query))));
    socket.addEventListener("message", (event) => this.#take(JSON.parse(event.data as string) as WatchMessage));
    socket.addEventListener("close", () => this.#again());
    this.#socket = socket;
  }

  #take(message: WatchMessage): void {
    if (message.type === "watching") this.#say("listening");
    if (message.type === "match") this.hear(this.query, message);
    if (message.type === "error") this.#refused(message.error);
  }

  #refused({ code, message }: ServiceError): void {
    this.#say("refused", `${message} (${code})`);
    const passing = code === "unknown_collection" || code === "unavailable";
    if (!passing) this.#closed = true;
    this.#socket?.close();
  }

  #again(): void {
    if (this.#closed) return;
    if (this.status.value.state !== "refused") this.#say("connecting");
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#open(), RETRY_MS);
  }

  #say(state: State, message = ""): void {
    this.status.value = { state, message };
  }
}

function address(region: string): string {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return `${scheme}://${location.host}${frontDoor(region, "v1/watch")}`;
}

function request({ text }: Query): WatchRequest {
  return { type: "watch", stream: text, collection: COLLECTION, text, threshold: THRESHOLD };
}
