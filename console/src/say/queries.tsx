import type { JSX } from "preact";
import { Store, useStore } from "../store";
import type { Ear } from "./ear";
import { RegionChoice } from "./region-choice";
import { THRESHOLD, type Listening, type Query } from "./standing";

const MOST = 8;

interface Props {
  ear: Ear;
  /** Region of a new query. */
  region: string;
}

export function Queries({ ear, region }: Props): JSX.Element {
  const queries = useStore(ear.queries);
  const problem = useStore(ear.problem);
  return (
    <div class="queries">
      <ul aria-label="Standing queries of this page">
        {queries.map((query) => (
          <QueryRow key={query.id} ear={ear} query={query} />
        ))}
      </ul>
      {problem && <p role="alert" class="problem">{problem}</p>}
      <p class="note">
        <button type="button" class="small" disabled={queries.length >= MOST} onClick={() => ear.add(region)}>Add a query</button>
        heard from a score of {THRESHOLD} up
      </p>
    </div>
  );
}

const OFF = new Store<Listening>({ state: "off", message: "" });

const SIGNS: Record<Listening["state"], [string, string]> = {
  off: ["○", "off"],
  connecting: ["◌", "connecting"],
  listening: ["●", "listening"],
  refused: ["✕", "refused"],
};

function QueryRow({ ear, query }: { ear: Ear; query: Query }): JSX.Element {
  const { state, message } = useStore(ear.standing(query.id)?.status ?? OFF);
  const [sign, word] = SIGNS[state];
  return (
    <li class={`query ${state}`} data-state={state}>
      <span class="state" role="img" aria-label={word} title={word}>{sign}</span>
      <input
        type="text"
        aria-label="Standing query"
        value={query.text}
        maxLength={500}
        onChange={(event) => ear.change(query.id, { text: event.currentTarget.value })}
      />
      <RegionChoice label="Region of this query" value={query.region} choose={(region) => ear.change(query.id, { region })} />
      <button type="button" class="quiet" aria-label={`Remove the query ${query.text}`} onClick={() => ear.remove(query.id)}>✕</button>
      {message && <p class="problem">{message}</p>}
    </li>
  );
}
