import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { link, world } from "../live";
import { useStore } from "../store";
import { Ear } from "./ear";
import { Outcome } from "./outcome";
import { Queries } from "./queries";
import { RegionChoice } from "./region-choice";
import { heard, say, saying } from "./speak";

const ear = new Ear(heard);
const EXAMPLE = "The referee points to the spot!";

/** Say a sentence in one region and see which standing queries hear it elsewhere. */
export function SaySection(): JSX.Element {
  const names = (useStore(world)?.regions ?? []).map((region) => region.name);
  const known = names.length > 0;
  const [region, setRegion] = useState("us-central1");
  const on = useStore(ear.on);
  useEffect(() => ear.fill(names), [known]);
  const listen = (): void => void (known && ear.start(region));
  return (
    <section class="say" aria-labelledby="say-title" onFocusIn={listenOnce(listen)}>
      <h2 id="say-title">Say a sentence</h2>
      <SayForm region={region} setRegion={setRegion} />
      <Outcome ear={ear} />
      <label class="listen">
        <input type="checkbox" checked={on} onChange={() => (on ? ear.stop() : listen())} />
        Listen here with these standing queries
      </label>
      <Queries ear={ear} region={region} />
    </section>
  );
}

let asked = false;

/** Entering the box opens the watches, the first time: then the tick decides. */
function listenOnce(listen: () => void): (event: FocusEvent) => void {
  return (event) => {
    const box = event.target instanceof HTMLInputElement && event.target.name === "sentence";
    if (asked || !box) return;
    asked = true;
    listen();
  };
}

interface FormProps {
  region: string;
  setRegion: (name: string) => void;
}

function SayForm({ region, setRegion }: FormProps): JSX.Element {
  const [text, setText] = useState("");
  const busy = useStore(saying)?.state === "writing";
  const away = useStore(link) !== "live";
  const submit = (event: Event): void => {
    event.preventDefault();
    const words = text.trim() || EXAMPLE;
    setText(words);
    void say(words, region);
  };
  return (
    <form onSubmit={submit}>
      <label class="hidden" for="sentence">Sentence</label>
      <input
        id="sentence"
        name="sentence"
        type="text"
        autocomplete="off"
        maxLength={500}
        placeholder={EXAMPLE}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <div class="send">
        <label for="write-in">in</label>
        <RegionChoice id="write-in" value={region} choose={setRegion} />
        <button type="submit" class="primary" disabled={busy || away}>Say it</button>
      </div>
    </form>
  );
}
