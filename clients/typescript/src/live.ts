import { createParser } from "eventsource-parser";
import { errorOf, SignedOut } from "./errors.js";
import { Pauses } from "./locks.js";
import type { Session } from "./session.js";

/** The server sends a comment every 25 seconds: a stream that is silent for longer is dead. */
const SILENT = 60_000;

/** Who knows up to where changes were fetched. */
export interface Place {
  state(): Promise<{ cursor: string | null }>;
}

/** Some proxies hold streams back, or answer them themselves. */
export class NoStream extends Error {}

/**
 * Be poked whenever something changes, over streams that end and are begun again, until the signal.
 *
 * @throws NoStream where streams do not get through.
 */
export async function follow(
  session: Session,
  path: string,
  place: Place,
  signal: AbortSignal,
  poke: () => void,
): Promise<void> {
  const pauses = new Pauses();
  while (!signal.aborted) {
    let wait = 0;
    try {
      await listen(session, path, place, signal, poke, () => pauses.reset());
    } catch (error) {
      if (error instanceof NoStream) throw error;
      const after = (error as { retryAfter?: number | null }).retryAfter ?? null;
      wait = error instanceof SignedOut ? 30_000 : pauses.next(after);
    }
    if (!signal.aborted) await rest(Math.max(wait, 100), signal);
  }
}

async function listen(
  session: Session,
  path: string,
  place: Place,
  signal: AbortSignal,
  poke: () => void,
  works: () => void,
): Promise<void> {
  const silence = new AbortController();
  const { cursor } = await place.state();
  const since = cursor === null ? "" : `?since=${encodeURIComponent(cursor)}`;
  const answer = await session.request(`${path}/events${since}`, {
    headers: { Accept: "text/event-stream" },
    signal: AbortSignal.any([signal, silence.signal]),
  });
  const isStream = answer.headers.get("Content-Type")?.startsWith("text/event-stream") === true;
  if ((answer.ok && !isStream) || answer.body === null || [404, 405, 501].includes(answer.status)) throw new NoStream();
  if (!answer.ok) throw await errorOf(answer);
  works();
  poke(); // what changed before the stream was open
  let ended = false;
  const parser = createParser({
    onEvent: ({ event }) => {
      if (event === "changed") poke();
      if (event === "end") ended = true;
    },
  });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let timer = dead(silence); !ended; timer = dead(silence)) {
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    parser.feed(value);
  }
  await reader.cancel();
}

function dead(silence: AbortController): ReturnType<typeof setTimeout> {
  return setTimeout(() => silence.abort(), SILENT);
}

async function rest(milliseconds: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      globalThis.removeEventListener?.("online", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
    globalThis.addEventListener?.("online", done);
  });
}
