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
      {sentences.length > 0 && <ColumnNames />}
      <ol tabIndex={sentences.length ? 0 : -1} aria-label="Sentences, newest first">
        {sentences.map((sentence) => (
          <Said key={sentence.event} sentence={sentence} regions={regions} />
        ))}
      </ol>
    </section>
  );
}

/** For the eye; each row names its parts for the ear. */
function ColumnNames(): JSX.Element {
  return (
    <p class="hearing columns" aria-hidden="true">
      <span>heard in</span>
      <span>by the standing query</span>
      <span class="score">score</span>
      <span class="took">after</span>
    </p>
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
      <span class="query"><span class="hidden">by </span>{match.stream}</span>
      <span class="score"><span class="hidden">score </span>{match.score.toFixed(2)}</span>
      <span class="took"><span class="hidden">after </span>{milliseconds(match.milliseconds)}</span>
    </li>
  );
}
