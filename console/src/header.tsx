import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { count } from "./format";
import { feed, link, world } from "./live";
import { useStore } from "./store";
import { theme, toggleTheme } from "./theme";
import type { World } from "./types";

export function Header(): JSX.Element {
  return (
    <header class="top">
      <h1>
        <svg width="20" height="20" viewBox="0 0 16 16" aria-hidden="true" class="globe">
          <circle cx="8" cy="8" r="6.5" />
          <ellipse cx="8" cy="8" rx="2.6" ry="6.5" />
        </svg>
        Meridian
      </h1>
      <Totals />
      <LinkSign />
      <ThemeButton />
    </header>
  );
}

function Totals(): JSX.Element | null {
  const now = useStore(world);
  const matches = useStore(feed.lastMinute);
  useEffect(() => {
    const timer = window.setInterval(() => feed.tick(), 1000);
    return () => window.clearInterval(timer);
  }, []);
  if (!now) return null;
  return (
    <dl class="totals">
      {totals(now, matches).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function totals({ regions, parts, faults }: World, matches: number): [string, string][] {
  const sum = (of: (r: World["regions"][number]) => number): number =>
    regions.reduce((total, region) => total + of(region), 0);
  const list: [string, string][] = [
    ["regions ready", `${sum((r) => (r.ready ? 1 : 0))} of ${regions.length}`],
    ["instances", count(sum((r) => r.instances))],
    ["processes", count(parts.filter((part) => part.healthy).length)],
    ["requests a second", count(sum((r) => r.requests_per_second))],
    ["matches, last minute", count(matches)],
  ];
  if (faults.length) list.push([faults.length === 1 ? "fault" : "faults", count(faults.length)]);
  return list;
}

function LinkSign(): JSX.Element {
  const state = useStore(link);
  const words = { live: "live", connecting: "connecting", lost: "no answer" };
  return (
    <span class={`link ${state}`}>
      <span aria-hidden="true">{state === "live" ? "●" : state === "lost" ? "✕" : "○"}</span> {words[state]}
    </span>
  );
}

function ThemeButton(): JSX.Element {
  const now = useStore(theme);
  const other = now === "dark" ? "light" : "dark";
  return (
    <button type="button" class="quiet" onClick={toggleTheme} aria-label={`Use the ${other} theme`}>
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.5" />
        <path d="M8,2A6,6 0 0 1 8,14Z" fill="currentColor" />
      </svg>
    </button>
  );
}
