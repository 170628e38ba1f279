const MISSING = "–";

/** `12`, `1,204`, `0.42`: as many digits as the size deserves. */
export function count(value: number): string {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : value < 1 ? 2 : 1;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

export function milliseconds(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return MISSING;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value.toFixed(value > 0 && value < 10 ? 1 : 0)} ms`;
}

export function clock(time: number): string {
  return new Date(time).toLocaleTimeString("en-GB");
}

/** `3 regions`, `1 match`, `2 matches`. */
export function some(number: number, noun: string): string {
  const ending = number === 1 ? "" : noun.endsWith("ch") ? "es" : "s";
  return `${number.toLocaleString("en")} ${noun}${ending}`;
}

/** A value in one of the dashboard's units (UCUM, as Google's charts read them). */
export function inUnit(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  if (unit === "s") return milliseconds(value * 1000);
  if (unit === "1/s") return `${count(value)}/s`;
  if (unit === "10^2.%") return `${count(value * 100)} %`;
  if (unit === "By") return bytes(value);
  return count(value);
}

function bytes(value: number): string {
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = Math.min(4, Math.floor(Math.log2(Math.max(1, value)) / 10));
  return `${count(value / 1024 ** step)} ${names[step]}`;
}
