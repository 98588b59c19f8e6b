import { SatchelError, Unreachable, type Problem } from "./errors.js";
import type { Kept, Tokens } from "./guest.js";

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

/** What the app's own server gives, null where there is none; `Unreachable` where it fails. */
export async function reached(renew: (() => Promise<Tokens | null>) | undefined): Promise<Tokens | null> {
  try {
    return (await renew?.()) ?? null;
  } catch (error) {
    throw new Unreachable("no other token could be had", { cause: error });
  }
}

/** What the server said in the place of an answer. */
export function refusal(error: unknown): SatchelError {
  return new SatchelError(error as Problem);
}
