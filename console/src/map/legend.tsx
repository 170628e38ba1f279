import type { JSX } from "preact";

interface Entry {
  d: string;
  kind: string;
  text: string;
}

const ENTRIES: Entry[] = [
  { d: "M0,-6L6,0L0,6L-6,0Z", kind: "up", text: "hub" },
  { d: "M-4,0A4,4 0 1 1 4,0A4,4 0 1 1 -4,0Z", kind: "up", text: "regional" },
  { d: "M-4,0A4,4 0 1 1 4,0A4,4 0 1 1 -4,0Z", kind: "elsewhere", text: "served elsewhere" },
  { d: "M-4,-4L4,4M-4,4L4,-4", kind: "down", text: "down" },
];

export function Legend(): JSX.Element {
  return (
    <ul class="legend" aria-label="Signs on the map">
      {ENTRIES.map(({ d, kind, text }) => (
        <li key={text}>
          <svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">
            <g class={`marker ${kind}`}>
              <path class="shape" d={d} />
              {kind === "elsewhere" && <path class="half" d="M0,-4A4,4 0 0 0 0,4Z" />}
            </g>
          </svg>
          {text}
        </li>
      ))}
      <li>
        <svg width="20" height="16" viewBox="0 0 20 16" aria-hidden="true">
          <path class="arc-sign" d="M1,13Q10,-2 19,13" />
        </svg>
        match, from writer to watcher
      </li>
      <li class="wide-only">number: instances · ring: requests a second</li>
    </ul>
  );
}
