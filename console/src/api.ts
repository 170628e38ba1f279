import type { ErrorBody } from "./types";

/** An answer that is no success, as words for the reader. */
export class AnswerError extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** Words for anything thrown: `message (code)`. */
export function words(error: unknown): string {
  if (error instanceof AnswerError) return `${error.message} (${error.code})`;
  if (error instanceof TypeError) return "The control plane does not answer.";
  return error instanceof Error ? error.message : String(error);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return answer<T>(await fetch(path, signal ? { signal } : {}));
}

export async function post<T>(path: string, body: unknown): Promise<T> {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer<T>(response);
}

/** Path of a region's own front door, below the page's origin. */
export function frontDoor(region: string, path: string): string {
  return `/console/region/${encodeURIComponent(region)}/${path}`;
}

async function answer<T>(response: Response): Promise<T> {
  const text = await response.text();
  const body = parsed(text);
  if (response.ok && body !== undefined) return body as T;
  throw refusal(response.status, body as ErrorBody | undefined);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusal(status: number, body: ErrorBody | undefined): AnswerError {
  const error = body?.error;
  if (typeof error === "object")
    return new AnswerError(error.message, error.code, status);
  return new AnswerError(error ?? "The answer is no JSON.", `HTTP ${status}`, status);
}
