import type { JSX } from "preact";
import { clock, milliseconds } from "./format";
import { cityOf } from "./health";
import { feed, world } from "./live";
import type { Sentence } from "./matches";
import { useStore } from "./store";
import type { Match, Region } from "./types";

/** Rows of one sentence before the rest is counted. */
const SHOWN = 6;

export function FeedSection(): JSX.Element {
  const sentences = useStore(feed.sentences);
  const regions = useStore(world)?.regions ?? [];
  return (
    <section class="feed" aria-labelledby="feed-title">
      <h2 id="feed-title">Matches as they happen</h2>
      {sentences.length === 0 && (
        <p class="empty">Nothing was heard yet. Say something above, or run <code>meridian demo</code>.</p>
      )}
      <ol tabIndex={sentences.length ? 0 : -1} aria-label="Sentences, newest first">
        {sentences.map((sentence) => (
          <Said key={sentence.event} sentence={sentence} regions={regions} />
        ))}
      </ol>
    </section>
  );
}

interface SaidProps {
  sentence: Sentence;
  regions: readonly Region[];
}

function Said({ sentence, regions }: SaidProps): JSX.Element {
  const rest = sentence.heard.length - SHOWN;
  return (
    <li class="said">
      <p class="sentence">{sentence.text}</p>
      <p class="origin">
        written in {cityOf(regions, sentence.writtenIn)} <time>{clock(sentence.committedAt)}</time>
      </p>
      <ul>
        {sentence.heard.slice(0, SHOWN).map((match) => (
          <Hearing key={`${match.region} ${match.stream}`} match={match} regions={regions} />
        ))}
        {rest > 0 && <li class="rest">and {rest} more</li>}
      </ul>
    </li>
  );
}

function Hearing({ match, regions }: { match: Match; regions: readonly Region[] }): JSX.Element {
  return (
    <li class="hearing" data-match={match.event_id}>
      <span class="where"><span aria-hidden="true">→ </span><span class="hidden">heard in </span>{cityOf(regions, match.region)}</span>
      <span class="query">{match.stream}</span>
      <span class="score" title="score">{match.score.toFixed(2)}</span>
      <span class="took">{milliseconds(match.milliseconds)}</span>
    </li>
  );
}
