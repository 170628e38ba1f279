import type { JSX } from "preact";
import { useState } from "preact/hooks";

const TOLD_MS = 1500;

export function CopyButton({ text }: { text: string }): JSX.Element {
  const [told, setTold] = useState("");
  const copy = async (): Promise<void> => {
    setTold((await copied(text)) ? "Copied" : "Not allowed");
    window.setTimeout(() => setTold(""), TOLD_MS);
  };
  return (
    <button type="button" class="small" onClick={() => void copy()} aria-live="polite">
      {told || "Copy"}
    </button>
  );
}

async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
