import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { count, milliseconds } from "../format";
import { cityOf, faultsOf, health, healthWord, partsOf, partWord, shortCity, SIGN } from "../health";
import { world } from "../live";
import { selected, unselect } from "../selection";
import { useStore } from "../store";
import type { Fault, Part, Region, World } from "../types";
import { CopyButton } from "./copy";
import { FailButton } from "./fail";

export function RegionPanel(): JSX.Element {
  const now = useStore(world);
  const name = useStore(selected);
  const region = now?.regions.find((one) => one.name === name);
  return (
    <div id="region-panel">
      {now && region && <Panel key={region.name} region={region} now={now} />}
    </div>
  );
}

function Panel({ region, now }: { region: Region; now: World }): JSX.Element {
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => title.current?.focus(), []);
  const faults = faultsOf(now.faults, region.name);
  return (
    <section class="panel" aria-labelledby="panel-title" onKeyDown={closeOnEscape}>
      <header>
        <h2 id="panel-title" ref={title} tabIndex={-1}>{shortCity(region)} <span class="name">{region.name}</span></h2>
        <button type="button" class="quiet" onClick={unselect} aria-label="Close the panel">✕</button>
      </header>
      <Facts region={region} regions={now.regions} />
      <Parts parts={partsOf(now.parts, region.name)} />
      {faults.map((fault) => (
        <FaultNote key={fault.target} fault={fault} at={now.at} />
      ))}
      <FailButton region={region} busy={faults.length > 0} />
    </section>
  );
}

function closeOnEscape(event: KeyboardEvent): void {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) unselect();
}

function Facts({ region, regions }: { region: Region; regions: Region[] }): JSX.Element {
  const state = health(region);
  const hub = region.role === "hub" ? "hub, takes its own writes" : `regional, writes go to ${cityOf(regions, region.hub)}`;
  return (
    <dl class="facts">
      <Fact name="Health">
        <span class={`sign ${state}`} aria-hidden="true">{SIGN[state]}</span> {healthWord(region)}
      </Fact>
      <Fact name="Answers now">{region.served_by ? `${cityOf(regions, region.served_by)} (${region.served_by})` : "nobody"}</Fact>
      <Fact name="Role">{hub}</Fact>
      <Fact name="Place">{region.city}</Fact>
      <Fact name="Instances">{region.instances} of at most {region.maximum}</Fact>
      <Fact name="Latency">{milliseconds(region.latency_ms)}</Fact>
      <Fact name="Requests">{count(region.requests_per_second)} a second</Fact>
      <Fact name="Front door"><Door url={region.url} /></Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Door({ url }: { url: string | null }): JSX.Element {
  if (!url) return <>none yet</>;
  return (
    <span class="door">
      <code>{url}</code>
      <CopyButton text={url} />
    </span>
  );
}

function Parts({ parts }: { parts: Part[] }): JSX.Element {
  if (!parts.length) return <p class="parts none">No process of this region runs.</p>;
  return (
    <ul class="parts" aria-label="Processes">
      {parts.map((part) => (
        <li key={part.name} class={part.healthy ? "" : "down"} title={part.name}>
          <span>{partWord(part)}</span> <span class="pid">pid {part.pid}</span>
          {!part.healthy && " ended"}
        </li>
      ))}
    </ul>
  );
}

function FaultNote({ fault, at }: { fault: Fault; at: number }): JSX.Element {
  const left = Math.max(0, Math.ceil(fault.until - at));
  return (
    <p class="fault">
      <span aria-hidden="true">✕</span> Fault on purpose: {fault.how} {fault.target.split("/")[0]}, ends by itself in {left} s
    </p>
  );
}
