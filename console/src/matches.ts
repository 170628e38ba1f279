import { Store } from "./store";
import type { Match } from "./types";

/** A written sentence and who heard it. */
export interface Sentence {
  event: string;
  text: string;
  writtenIn: string;
  committedAt: number;
  heard: Match[];
}

const SENTENCES = 40;
const KEYS = 4000;
const FLUSH_MS = 250;
/** Older matches are replays of a connection: listed, never animated. */
const FRESH_MS = 4000;
const RATE_MS = 60_000;

/** Matches, each once, by sentence, newest first. */
export class Feed {
  readonly sentences = new Store<readonly Sentence[]>([]);
  /** Matches of the last minute. */
  readonly lastMinute = new Store(0);
  readonly #known = new Set<string>();
  readonly #fresh = new Set<(match: Match) => void>();
  #waiting: Match[] = [];
  #times: number[] = [];
  #timer: number | undefined;

  /** Calls `listener` for every match as it happens. */
  onFresh(listener: (match: Match) => void): () => void {
    this.#fresh.add(listener);
    return () => this.#fresh.delete(listener);
  }

  add(match: Match): void {
    const key = `${match.event_id} ${match.region} ${match.stream}`;
    if (this.#known.has(key)) return;
    this.#known.add(key);
    if (this.#known.size > KEYS) this.#forgetOldest();
    this.#waiting.push(match);
    if (Date.now() - match.committed_at < FRESH_MS)
      for (const tell of this.#fresh) tell(match);
    this.#timer ??= window.setTimeout(() => this.#flush(), FLUSH_MS);
  }

  /** Lets the count of the last minute fall when nothing comes. */
  tick(): void {
    const since = Date.now() - RATE_MS;
    this.#times = this.#times.filter((time) => time > since);
    this.lastMinute.value = this.#times.length;
  }

  #flush(): void {
    this.#timer = undefined;
    const byEvent = new Map(this.sentences.value.map((s) => [s.event, s]));
    for (const match of this.#waiting) {
      byEvent.set(match.event_id, withMatch(byEvent.get(match.event_id), match));
      this.#times.push(match.committed_at);
    }
    this.#waiting = [];
    const newest = [...byEvent.values()].sort((a, b) => b.committedAt - a.committedAt);
    this.sentences.value = newest.slice(0, SENTENCES);
    this.tick();
  }

  #forgetOldest(): void {
    const oldest = this.#known.values().next().value;
    if (oldest !== undefined) this.#known.delete(oldest);
  }
}

function withMatch(sentence: Sentence | undefined, match: Match): Sentence {
  const heard = [...(sentence?.heard ?? []), match];
  heard.sort((a, b) => a.milliseconds - b.milliseconds);
  return {
    event: match.event_id,
    text: match.text || match.item,
    writtenIn: match.written_in,
    committedAt: match.committed_at,
    heard,
  };
}
