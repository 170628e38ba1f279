import { Store } from "./store";

/** Name of the region whose panel is open. */
export const selected = new Store<string | null>(null);
/** Name of the region under the pointer, on the map or in the table. */
export const pointed = new Store<string | null>(null);

/** Where the focus returns when the panel closes. */
let opener: HTMLElement | null = null;

export function select(name: string): void {
  opener = document.activeElement instanceof HTMLElement ? document.activeElement : null;
  selected.value = name;
}

export function unselect(): void {
  selected.value = null;
  opener?.focus();
  opener = null;
}
