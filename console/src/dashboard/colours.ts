import type { Theme } from "../theme";
import type { Region } from "../types";
import type { Line } from "./series";

/** A hue for each hub; its regions share it in other lights. */
const HUES = [205, 152, 38, 286, 340, 96];
const PLAIN: Record<Theme, string[]> = {
  dark: ["#62bfe0", "#e6b566", "#b79df0", "#7dd3a0"],
  light: ["#0b6e8f", "#9a6400", "#6a48b8", "#1a7f4f"],
};

/** What a hub's own lines look like. */
export function hubColour(hub: Region, regions: readonly Region[], theme: Theme): string {
  return colour({ name: "", labels: { region: hub.name }, values: [] }, 0, regions, theme);
}

/** Colour of the line at `index`: by its region when it has one. */
export function colour(line: Line, index: number, regions: readonly Region[], theme: Theme): string {
  const region = regions.find((one) => one.name === line.labels.region);
  const hubs = regions.filter((one) => one.role === "hub");
  const family = hubs.findIndex((hub) => hub.name === region?.hub);
  const plain = PLAIN[theme];
  if (!region || family < 0) return plain[index % plain.length]!;
  const siblings = regions.filter((one) => one.hub === region.hub);
  const light = (theme === "dark" ? 68 : 38) + (theme === "dark" ? -12 : 12) * siblings.indexOf(region);
  return `hsl(${HUES[family % HUES.length]} ${theme === "dark" ? 52 : 58}% ${light}%)`;
}
