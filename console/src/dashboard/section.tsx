import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, words } from "../api";
import { shortCity } from "../health";
import { link, world } from "../live";
import { useStore } from "../store";
import { theme } from "../theme";
import type { Dashboard, Dashboards } from "../types";
import { AlertList } from "./alerts";
import { hubColour } from "./colours";
import { TileView } from "./tile";

const RETRY_MS = 5000;

export function DashboardSection(): JSX.Element {
  const { boards, problem } = useBoards();
  return (
    <section class="board" aria-labelledby="board-title">
      <header>
        <h2 id="board-title">Dashboard</h2>
        <p class="note">the last ten minutes, from the live Prometheus</p>
        <ColourKey />
        <AlertList />
      </header>
      {problem && <p class="problem">{problem}</p>}
      {!boards && !problem && <p class="empty">Asking for the dashboards…</p>}
      {boards?.length === 0 && <p class="empty">No dashboard is declared yet.</p>}
      {boards?.map((board) => <Board key={board.displayName} board={board} />)}
    </section>
  );
}

/** Fifteen hues cannot be told apart; five can: a hue per hub. */
function ColourKey(): JSX.Element {
  const now = useStore(theme);
  const regions = useStore(world)?.regions ?? [];
  return (
    <ul class="key" aria-label="Colours of the charts">
      {regions.filter((region) => region.role === "hub").map((hub) => (
        <li key={hub.name}>
          <i class="swatch" style={{ background: hubColour(hub, regions, now) }} />
          {shortCity(hub)}
        </li>
      ))}
      <li>and its regions in other tones</li>
    </ul>
  );
}

function Board({ board }: { board: Dashboard }): JSX.Element {
  const tiles = board.mosaicLayout?.tiles ?? [];
  return (
    <div class="mosaic" role="group" aria-label={board.displayName}>
      {tiles.map((tile) => <TileView key={`${tile.xPos} ${tile.yPos}`} tile={tile} />)}
    </div>
  );
}

/** Asked when the control plane answers, and again until there is one. */
function useBoards(): { boards: Dashboard[] | null; problem: string } {
  const [boards, setBoards] = useState<Dashboard[] | null>(null);
  const [problem, setProblem] = useState("");
  const live = useStore(link) === "live";
  useEffect(() => {
    if (!live) return;
    let timer: number | undefined;
    const ask = async (): Promise<void> => {
      try {
        const { dashboards } = await get<Dashboards>("/console/dashboards");
        setBoards(dashboards);
        setProblem("");
        if (!dashboards.length) timer = window.setTimeout(() => void ask(), RETRY_MS);
      } catch (error) {
        setProblem(words(error));
      }
    };
    void ask();
    return () => window.clearTimeout(timer);
  }, [live]);
  return { boards, problem };
}
