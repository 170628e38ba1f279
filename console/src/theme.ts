import { Store } from "./store";

export type Theme = "dark" | "light";

const KEY = "meridian.theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

function chosen(): Theme | null {
  const value = document.documentElement.dataset.theme;
  return value === "dark" || value === "light" ? value : null;
}

function current(): Theme {
  return chosen() ?? (system.matches ? "dark" : "light");
}

export const theme = new Store<Theme>(current());

system.addEventListener("change", () => (theme.value = current()));

export function toggleTheme(): void {
  const next: Theme = theme.value === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
  theme.value = current();
}

export const stillness = window.matchMedia("(prefers-reduced-motion: reduce)");
