import { SatchelError, type Problem } from "./errors.js";
import type { Kept } from "./guest.js";

/** Milliseconds that an answer may take. */
const LONGEST = 60_000;

/** A server that hangs would hold up all that waits for it. A stream has its own time. */
export function inTime(request: Request): Request {
  if (request.headers.get("Accept") === "text/event-stream") return request;
  return new Request(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(LONGEST)]) });
}

export function withToken(request: Request, kept: Kept): Request {
  request.headers.set("Authorization", `Bearer ${kept.access}`);
  return request;
}

/** What the server said in the place of an answer. */
export function refusal(error: unknown): SatchelError {
  return new SatchelError(error as Problem);
}
