import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, words } from "../api";
import { clock, milliseconds, some } from "../format";
import { cityOf } from "../health";
import { link, world } from "../live";
import { useStore } from "../store";
import type { Region, Trace, TraceSummary, Traces } from "../types";
import { rows, STEPS, type Row } from "./rows";

const EVERY_MS = 3000;
/** Writes to choose from. */
const LISTED = 6;

export function TraceSection(): JSX.Element {
  const [chosen, choose] = useState<string | null>(null);
  const { writes, trace, problem } = useTraces(chosen);
  const regions = useStore(world)?.regions ?? [];
  return (
    <section class="trace" aria-labelledby="trace-title">
      <header>
        <h2 id="trace-title">A write on its way</h2>
        <p class="note">spans that every process sent, a row a region</p>
        {trace && <StepKey />}
      </header>
      {problem && <p class="problem">{problem}</p>}
      {writes?.length === 0 && <p class="empty">No write was traced yet. Say something above.</p>}
      {trace && (
        <div class="way">
          <Writes writes={writes ?? []} shown={trace.id} choose={choose} regions={regions} />
          <Waterfall trace={trace} regions={regions} />
        </div>
      )}
    </section>
  );
}

function StepKey(): JSX.Element {
  return (
    <ul class="key" aria-label="Colours of the steps">
      {STEPS.map((step) => (
        <li key={step}><i class={`swatch step-${step}`} />{step}</li>
      ))}
    </ul>
  );
}

interface WritesProps {
  writes: readonly TraceSummary[];
  shown: string;
  choose: (id: string) => void;
  regions: readonly Region[];
}

function Writes({ writes, shown, choose, regions }: WritesProps): JSX.Element {
  return (
    <ol class="writes" aria-label="Newest writes">
      {writes.slice(0, LISTED).map((write) => (
        <li key={write.id}>
          <button type="button" aria-pressed={write.id === shown} onClick={() => choose(write.id)}>
            <time>{clock(write.began)}</time> {cityOf(regions, write.region)}
            <span class="note">{some(write.regions.length, "region")}, {milliseconds(write.ms)}</span>
          </button>
        </li>
      ))}
    </ol>
  );
}

function Waterfall({ trace, regions }: { trace: Trace; regions: readonly Region[] }): JSX.Element {
  return (
    <div class="waterfall" role="table" aria-label={`Steps of the write from ${cityOf(regions, trace.region)}`}>
      {rows(trace).map((row) => <RegionRow key={row.region} row={row} regions={regions} />)}
    </div>
  );
}

function RegionRow({ row, regions }: { row: Row; regions: readonly Region[] }): JSX.Element {
  const steps = row.bars.map(({ span }) => `${span.name} ${milliseconds(span.ms)}`).join(", ");
  return (
    <div role="row" class="steps" title={steps}>
      <span role="rowheader" class="where">{cityOf(regions, row.region)}</span>
      <span role="cell" class="lane">
        <span class="hidden">{steps}</span>
        {row.bars.map(({ span, left, width }) => (
          <i key={span.id} class={`bar step-${span.name}`} style={{ left: `${left}%`, width: `max(2px, ${width}%)` }} />
        ))}
      </span>
      <span role="cell" class="took">{milliseconds(row.ended)}</span>
    </div>
  );
}

interface Asked {
  writes: TraceSummary[] | null;
  trace: Trace | null;
  problem: string;
}

/** The newest writes, and the chosen one or the newest, asked again and again. */
function useTraces(chosen: string | null): Asked {
  const [asked, setAsked] = useState<Asked>({ writes: null, trace: null, problem: "" });
  const live = useStore(link) === "live";
  useEffect(() => {
    if (!live) return;
    const stop = new AbortController();
    const ask = async (): Promise<void> => {
      try {
        const { traces: writes } = await get<Traces>("/console/traces?name=write", stop.signal);
        const kept = writes.some((write) => write.id === chosen) ? chosen : writes[0]?.id;
        const trace = kept ? await get<Trace>(`/console/traces/${kept}`, stop.signal) : null;
        setAsked({ writes, trace, problem: "" });
      } catch (error) {
        if (!stop.signal.aborted) setAsked((known) => ({ ...known, problem: words(error) }));
      }
    };
    void ask();
    const timer = window.setInterval(() => void (document.hidden || ask()), EVERY_MS);
    return () => (stop.abort(), window.clearInterval(timer));
  }, [live, chosen]);
  return asked;
}
