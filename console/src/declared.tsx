import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, words } from "./api";
import { some } from "./format";
import { link } from "./live";
import { useStore } from "./store";
import type { Declared, DeclaredType } from "./types";

export function DeclaredSection(): JSX.Element {
  const [types, setTypes] = useState<DeclaredType[] | null>(null);
  const [problem, setProblem] = useState("");
  const live = useStore(link) === "live";
  useEffect(() => {
    if (!live) return;
    get<Declared>("/console/declared")
      .then((answer) => (setTypes(answer.types), setProblem("")))
      .catch((error: unknown) => setProblem(words(error)));
  }, [live]);
  return (
    <section class="declared" aria-labelledby="declared-title">
      <h2 id="declared-title">Declared resources</h2>
      {problem && <p class="problem">{problem}</p>}
      {!types && !problem && <p class="empty">Asking what is declared…</p>}
      {types && <Lists types={types} />}
    </section>
  );
}

function Lists({ types }: { types: DeclaredType[] }): JSX.Element {
  const run = types.filter((type) => type.runs !== null);
  const kept = types.filter((type) => type.runs === null);
  return (
    <div class="lists">
      <List title="Declared, not run" note="Kept as state on this machine; production has them." types={kept} />
      <List title="Declared and run" note="With what stands for it here." types={run} />
    </div>
  );
}

interface ListProps {
  title: string;
  note: string;
  types: DeclaredType[];
}

function List({ title, note, types }: ListProps): JSX.Element {
  const total = types.reduce((sum, type) => sum + type.count, 0);
  return (
    <div>
      <h3>{title} <span class="note">{some(total, "resource")}. {note}</span></h3>
      <ul>
        {types.map(({ type, count, runs }) => (
          <li key={type}>
            <span class="count">{count}</span>
            <span class="type" title={type}>{shortType(type)}</span>
            {runs && <span class="runs">{runs}</span>}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** `compute Network` of `gcp:compute/network:Network`. */
function shortType(type: string): string {
  const [, module = "", name = type] = type.split(":");
  return `${module.split("/")[0]} ${name}`;
}
