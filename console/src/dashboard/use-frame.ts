import { useEffect, useState } from "preact/hooks";
import { get, words } from "../api";
import type { DataSet, RangeAnswer } from "../types";
import { lines, queryPath, steps, type Frame, type Line } from "./series";

const REFRESH_MS = 5000;

export interface Loaded {
  frame: Frame | null;
  problem: string;
}

/** Answers of a tile's queries, asked again every five seconds while it is in view. */
export function useFrame(element: { current: HTMLElement | null }, sets: DataSet[]): Loaded {
  const [loaded, setLoaded] = useState<Loaded>({ frame: null, problem: "" });
  const visible = useVisible(element);
  const key = JSON.stringify(sets);
  useEffect(() => {
    if (!visible) return;
    const stop = new AbortController();
    const ask = async (): Promise<void> => {
      const answer = await load(sets, stop.signal);
      if (!stop.signal.aborted) setLoaded(answer);
    };
    void ask();
    const timer = window.setInterval(() => void ask(), REFRESH_MS);
    return () => {
      window.clearInterval(timer);
      stop.abort();
    };
  }, [visible, key]);
  return loaded;
}

async function load(sets: DataSet[], signal: AbortSignal): Promise<Loaded> {
  const times = steps(Date.now() / 1000);
  try {
    const answers = await Promise.all(sets.map((set) => ask(set, times, signal)));
    return { frame: { times, lines: answers.flat() }, problem: "" };
  } catch (error) {
    return { frame: null, problem: words(error) };
  }
}

async function ask(set: DataSet, times: number[], signal: AbortSignal): Promise<Line[]> {
  const query = set.timeSeriesQuery.prometheusQuery;
  if (!query) throw new Error("This tile has no PromQL query.");
  const answer = await get<RangeAnswer>(queryPath(query, times), signal);
  if (answer.status === "error") throw new Error(answer.error ?? "Prometheus refused the query.");
  return lines(answer, times, set.legendTemplate ?? null);
}

/** Whether the element is on the screen and the page in front. */
function useVisible(element: { current: HTMLElement | null }): boolean {
  const [seen, setSeen] = useState(false);
  const [front, setFront] = useState(!document.hidden);
  useEffect(() => {
    const turn = (): void => setFront(!document.hidden);
    document.addEventListener("visibilitychange", turn);
    const watcher = new IntersectionObserver(([entry]) => setSeen(entry?.isIntersecting ?? false), { rootMargin: "100px" });
    if (element.current) watcher.observe(element.current);
    return () => {
      document.removeEventListener("visibilitychange", turn);
      watcher.disconnect();
    };
  }, [element]);
  return seen && front;
}
