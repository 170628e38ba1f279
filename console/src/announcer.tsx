import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { some } from "./format";
import { healthWord, shortCity } from "./health";
import { feed, world } from "./live";
import type { Match } from "./types";

/** A screen reader hears at most one sentence in this time. */
const EVERY_MS = 8000;

/** Speaks of matches and of regions whose health changed, a sentence at a time. */
export function Announcer(): JSX.Element {
  const [text, setText] = useState("");
  useEffect(() => {
    const news = new News();
    const timer = window.setInterval(() => {
      const words = news.take();
      if (words) setText(words);
    }, EVERY_MS);
    const leave = [feed.onFresh((match) => news.heard(match)), world.subscribe(() => news.look())];
    return () => {
      window.clearInterval(timer);
      for (const stop of leave) stop();
    };
  }, []);
  return (
    <p class="hidden" aria-live="polite" aria-atomic="true">
      {text}
    </p>
  );
}

class News {
  #matches = 0;
  #last: Match | null = null;
  #before = new Map<string, string>();
  #changes = new Map<string, string>();

  heard(match: Match): void {
    this.#matches += 1;
    this.#last = match;
  }

  /** Notes every region whose health is not what it was. */
  look(): void {
    for (const region of world.value?.regions ?? []) {
      const now = healthWord(region);
      const before = this.#before.get(region.name);
      if (before !== undefined && before !== now) this.#changes.set(shortCity(region), now);
      this.#before.set(region.name, now);
    }
  }

  take(): string {
    const words = [...this.#changes].map(([city, now]) => `${city}: ${now}.`);
    if (this.#last) words.push(`${some(this.#matches, "match")}, the latest: ${this.#last.text}.`);
    this.#changes.clear();
    this.#matches = 0;
    this.#last = null;
    return words.join(" ");
  }
}
