/** Writing a sentence and collecting who heard it. */

import { AnswerError, frontDoor, post, words } from "../api";
import { Store } from "../store";
import type { Heard, UpsertAnswer } from "../types";
import { COLLECTION, ensureCollection, type Query } from "./standing";

/** After this long a query that said nothing counts as silent. */
export const SILENCE_MS = 3000;

export interface Hearing {
  query: Query;
  score: number;
  milliseconds: number;
}

export interface Saying {
  event: string;
  text: string;
  region: string;
  /** `writing`, then `listening` for a while, then `over`; or `refused`. */
  state: "writing" | "listening" | "over" | "refused";
  /** Why it was refused. */
  message: string;
  /** From the request to the acknowledgement. */
  tookMs: number | null;
  hearings: Hearing[];
}

export const saying = new Store<Saying | null>(null);

export function heard(query: Query, match: Heard): void {
  const now = saying.value;
  if (!now || match.event_id !== now.event) return;
  if (now.hearings.some((one) => one.query.id === query.id)) return;
  const milliseconds = Math.max(0, match.notified_at - match.committed_at);
  const hearing = { query, score: match.score, milliseconds };
  saying.value = { ...now, hearings: [...now.hearings, hearing] };
}

export async function say(text: string, region: string): Promise<void> {
  const event = `page-${random()}`;
  saying.value = { event, text, region, state: "writing", message: "", tookMs: null, hearings: [] };
  const started = performance.now();
  try {
    await write(event, text, region);
    update(event, { state: "listening", tookMs: performance.now() - started });
    window.setTimeout(() => update(event, { state: "over" }), SILENCE_MS);
  } catch (error) {
    update(event, { state: "refused", message: words(error) });
  }
}

async function write(event: string, text: string, region: string): Promise<void> {
  try {
    await upsert(event, text, region);
  } catch (error) {
    if (!(error instanceof AnswerError) || error.code !== "unknown_collection") throw error;
    await ensureCollection(region);
    await upsert(event, text, region);
  }
}

async function upsert(event: string, text: string, region: string): Promise<void> {
  const path = frontDoor(region, `v1/collections/${COLLECTION}/items:upsert`);
  const items = [{ id: event, text, metadata: { text }, event_id: event }];
  const answer = await post<UpsertAnswer>(path, { items });
  const refused = answer.results[0]?.error;
  if (refused) throw new AnswerError(refused.message, refused.code, 200);
}

function update(event: string, change: Partial<Saying>): void {
  const now = saying.value;
  if (now?.event === event) saying.value = { ...now, ...change };
}

/** 96 random bits; `randomUUID` needs a secure context, this does not. */
function random(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
