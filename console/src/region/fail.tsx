import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { post, words } from "../api";
import { shortCity } from "../health";
import type { FaultRequest, FaultStarted, Region } from "../types";

const SECONDS = 30;

/** Kills a region for a while, after a question. */
export function FailButton({ region, busy }: { region: Region; busy: boolean }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState("");
  const fail = async (): Promise<void> => {
    dialog.current?.close();
    setProblem(await start(region.name));
  };
  const city = shortCity(region);
  return (
    <div class="fail">
      <button type="button" class="danger" disabled={busy} onClick={() => dialog.current?.showModal()}>
        Fail this region for {SECONDS} s
      </button>
      {problem && <p role="alert" class="problem">{problem}</p>}
      <dialog ref={dialog} aria-labelledby="fail-title">
        <h2 id="fail-title">Fail {city}?</h2>
        <p>
          Every process of {region.name} is killed: instances, worker, Redis and Postgres. The balancer sends its clients to the next
          region. After {SECONDS} s it comes back by itself.
        </p>
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>Leave it running</button>
          <button type="button" class="danger" onClick={() => void fail()}>Fail {city}</button>
        </div>
      </dialog>
    </div>
  );
}

/** Starts the fault; what went wrong, empty when nothing did. */
async function start(region: string): Promise<string> {
  const request: FaultRequest = { kind: "region", region, how: "kill", seconds: SECONDS };
  try {
    await post<FaultStarted>("/console/faults", request);
    return "";
  } catch (error) {
    return words(error);
  }
}
