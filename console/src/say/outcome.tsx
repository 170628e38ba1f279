import type { JSX } from "preact";
import { milliseconds } from "../format";
import { cityOf } from "../health";
import { world } from "../live";
import { useStore } from "../store";
import type { Ear } from "./ear";
import { saying, type Hearing, type Saying } from "./speak";
import type { Query } from "./standing";

/** What became of the last sentence: every query, heard or silent. */
export function Outcome({ ear }: { ear: Ear }): JSX.Element | null {
  const said = useStore(saying);
  const queries = useStore(ear.queries);
  const on = useStore(ear.on);
  if (!said) return null;
  return (
    <div class="outcome" role="status">
      <Head said={said} />
      {said.state !== "refused" && on && (
        <ul>
          {queries.filter((query) => query.text.trim()).map((query) => (
            <Line key={query.id} query={query} said={said} />
          ))}
        </ul>
      )}
      {said.state !== "refused" && !on && <p class="note">Nobody listens on this page: tick the box below.</p>}
    </div>
  );
}

function Head({ said }: { said: Saying }): JSX.Element {
  const regions = useStore(world)?.regions ?? [];
  const city = cityOf(regions, said.region);
  if (said.state === "refused")
    return <p class="problem"><span aria-hidden="true">✕</span> {city} refused it: {said.message}</p>;
  if (said.tookMs === null) return <p>Writing in {city}…</p>;
  return (
    <p>
      “{said.text}” is durable in {city} after {milliseconds(said.tookMs)}; heard by {said.hearings.length} of the queries below.
    </p>
  );
}

function Line({ query, said }: { query: Query; said: Saying }): JSX.Element {
  const regions = useStore(world)?.regions ?? [];
  const hearing = said.hearings.find((one) => one.query.id === query.id);
  return (
    <li class={hearing ? "heard" : "silent"}>
      <span class="query">{query.text}</span>
      <span class="where">{cityOf(regions, query.region)}</span>
      <Verdict hearing={hearing} over={said.state === "over"} />
    </li>
  );
}

function Verdict({ hearing, over }: { hearing: Hearing | undefined; over: boolean }): JSX.Element {
  if (!hearing) return <span class="verdict">{over ? "silent" : "…"}</span>;
  return (
    <span class="verdict">
      <span class="hidden">heard, score </span><span class="score">{hearing.score.toFixed(2)}</span> <span class="hidden">after </span><span class="took">{milliseconds(hearing.milliseconds)}</span>
    </span>
  );
}
