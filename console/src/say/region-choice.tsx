import type { JSX } from "preact";
import { shortCity } from "../health";
import { world } from "../live";
import { useStore } from "../store";

interface Props {
  value: string;
  choose: (name: string) => void;
  id?: string;
  label?: string;
}

export function RegionChoice({ value, choose, id, label }: Props): JSX.Element {
  const regions = useStore(world)?.regions ?? [];
  const missing = !regions.some((region) => region.name === value);
  return (
    <select
      {...(id && { id })}
      {...(label && { "aria-label": label })}
      value={value}
      onChange={(event) => choose(event.currentTarget.value)}
    >
      {missing && <option value={value}>{value}</option>}
      {regions.map((region) => (
        <option key={region.name} value={region.name}>
          {shortCity(region)}
        </option>
      ))}
    </select>
  );
}
