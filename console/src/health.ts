import type { Fault, Part, Region } from "./types";

/** `up`: its own instances answer. `elsewhere`: another region answers for it.
 * `down`: nobody answers. `unserved`: it has no front door yet. */
export type Health = "up" | "elsewhere" | "down" | "unserved";

/** Shown beside the word, so that colour never stands alone. */
export const SIGN: Record<Health, string> = {
  up: "●",
  elsewhere: "◐",
  down: "✕",
  unserved: "○",
};

export function health(region: Region): Health {
  if (region.ready) return "up";
  if (!region.serving) return "unserved";
  return region.served_by && region.served_by !== region.name ? "elsewhere" : "down";
}

export function healthWord(region: Region): string {
  const words: Record<Health, string> = {
    up: "ready",
    elsewhere: "down, served elsewhere",
    down: region.instances > 0 ? "not answering" : "down",
    unserved: "not serving",
  };
  return words[health(region)];
}

/** `Tokyo` of `Tokyo, Japan`. */
export function shortCity(region: Region): string {
  return region.city.split(",")[0] ?? region.city;
}

/** City of a region's name; the name itself when it is not of this world. */
export function cityOf(regions: readonly Region[], name: string | null): string {
  const region = regions.find((one) => one.name === name);
  return region ? shortCity(region) : (name ?? "nobody");
}

export function faultsOf(faults: readonly Fault[], region: string): Fault[] {
  return faults.filter((fault) => fault.target.split("/")[1] === region);
}

const KIND_WORDS: Record<string, string> = {
  run: "service",
  redis: "Redis",
  sql: "Postgres",
};

/** Parts that belong to one region: their names carry the region's name. */
export function partsOf(parts: readonly Part[], region: string): Part[] {
  return parts.filter((part) => {
    const [, ...rest] = part.name.split("/");
    return rest.some((word) => word === region || carries(word, region));
  });
}

/** `meridian-us-central1-g1` carries `us-central1`, and not `us-central11`. */
function carries(word: string, region: string): boolean {
  return new RegExp(`(^|-)${region}(-g\\d+)?$`).test(word);
}

export function partWord(part: Part): string {
  if (part.kind !== "run") return KIND_WORDS[part.kind] ?? part.kind;
  return part.name.includes("worker") ? "worker" : "instance";
}
