/** The set of standing queries: edited by the user, open while the page listens. */

import { words } from "../api";
import { Store } from "../store";
import type { Heard } from "../types";
import { ensureCollection, Standing, type Query } from "./standing";

const DEFAULTS: [string, string][] = [
  ["a penalty is given", "europe-west3"],
  ["a goal is scored", "southamerica-east1"],
  ["rain stops the play", "europe-west2"],
  ["a player is injured", "asia-northeast1"],
  ["the crowd sings", "australia-southeast1"],
];

export type Hear = (query: Query, heard: Heard) => void;

export class Ear {
  readonly queries = new Store<readonly Query[]>([]);
  readonly on = new Store(false);
  readonly problem = new Store("");
  readonly #open = new Map<number, Standing>();
  #next = 1;

  constructor(private readonly hear: Hear) {}

  /** The default queries, in regions that are there. */
  fill(regions: readonly string[]): void {
    if (this.queries.value.length || !regions.length) return;
    this.queries.value = DEFAULTS.map(([text, region], index) => ({
      id: this.#next++,
      text,
      region: regions.includes(region) ? region : regions[index % regions.length]!,
    }));
  }

  standing(id: number): Standing | undefined {
    return this.#open.get(id);
  }

  async start(region: string): Promise<void> {
    if (this.on.value) return;
    this.on.value = true;
    try {
      await ensureCollection(region);
      this.problem.value = "";
    } catch (error) {
      this.problem.value = words(error);
    }
    if (this.on.value) this.queries.value.forEach((query) => this.#listen(query));
    this.#redraw();
  }

  stop(): void {
    this.on.value = false;
    this.#open.forEach((standing) => standing.close());
    this.#open.clear();
    this.#redraw();
  }

  change(id: number, change: Partial<Omit<Query, "id">>): void {
    const queries = this.queries.value.map((q) => (q.id === id ? { ...q, ...change } : q));
    this.queries.value = queries;
    const query = queries.find((q) => q.id === id);
    if (query && this.on.value) this.#listen(query);
    this.#redraw();
  }

  add(region: string): void {
    this.queries.value = [...this.queries.value, { id: this.#next++, text: "", region }];
  }

  remove(id: number): void {
    this.#open.get(id)?.close();
    this.#open.delete(id);
    this.queries.value = this.queries.value.filter((query) => query.id !== id);
  }

  #listen(query: Query): void {
    this.#open.get(query.id)?.close();
    this.#open.delete(query.id);
    if (query.text.trim()) this.#open.set(query.id, new Standing(query, this.hear));
  }

  /** Rows read `standing()`, which is no store: a new list draws them again. */
  #redraw(): void {
    this.queries.value = [...this.queries.value];
  }
}
