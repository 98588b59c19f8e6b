import { createParser, type EventSourceParser } from "eventsource-parser";
import { errorOf, SignedOut } from "./errors.js";
import { Pauses } from "./locks.js";
import type { Session } from "./session.js";

/** The server sends a comment every 25 seconds: a stream that is silent for longer is dead. */
const SILENT = 60_000;
/** And it speaks at once when a stream is opened: where nothing comes, somebody holds the stream back. */
const FIRST = 15_000;
const MOST_SILENCES = 2;
const SIGNED_OUT = 30_000;

/** Who knows up to where changes were fetched. */
export interface Place {
  state(): Promise<{ cursor: string | null }>;
}

/** Some proxies hold streams back, or answer them themselves. */
export class NoStream extends Error {}

/** What is known of the streams of one store. */
export interface Following {
  session: Session;
  path: string;
  place: Place;
  signal: AbortSignal;
  poke: () => void;
}

/** How a stream went. */
interface Heard {
  /** Whether anything came by it. */
  anything: boolean;
  /** Why it ended, as the server said; empty where it was cut. */
  reason: string;
  /** Milliseconds after which the server wants to see the client again. */
  retry: number;
}

/**
 * Be poked whenever something changes, over streams that end and are begun again, until the signal.
 *
 * @throws NoStream where streams do not get through.
 */
export async function follow(following: Following): Promise<void> {
  const { session, signal } = following;
  const pauses = new Pauses();
  for (let silences = 0; !signal.aborted; ) {
    const heard: Heard = { anything: false, reason: "", retry: 1_000 };
    let failed: unknown = null;
    try {
      await listen(following, heard);
      if (heard.reason.includes("token_expiring")) await session.renew();
      silences += 1;
    } catch (error) {
      if (error instanceof NoStream) throw error;
      failed = error;
    }
    if (heard.anything) {
      silences = 0;
      pauses.reset();
    }
    if (silences >= MOST_SILENCES) throw new NoStream();
    if (!signal.aborted) await rest(waitAfter(heard, failed, pauses), signal);
  }
}

function waitAfter(heard: Heard, failed: unknown, pauses: Pauses): number {
  if (failed instanceof SignedOut) return SIGNED_OUT;
  if (failed === null && heard.reason !== "") return heard.retry;
  return pauses.next((failed as { retryAfter?: number | null } | null)?.retryAfter ?? null);
}

async function listen(following: Following, heard: Heard): Promise<void> {
  const { session, path, place, signal, poke } = following;
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), FIRST);
  try {
    const { cursor } = await place.state();
    const since = cursor === null ? "" : `?since=${encodeURIComponent(cursor)}`;
    const answer = await session.request(`${path}/events${since}`, {
      headers: { Accept: "text/event-stream" },
      signal: AbortSignal.any([signal, silence.signal]),
    });
    const body = await streamOf(answer, poke);
    poke(); // what changed before the stream was open
    const parser = parserOf(heard, poke);
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    while (heard.reason === "") {
      const { done, value } = await reader.read();
      clearTimeout(timer);
      if (done) return;
      heard.anything = true;
      timer = setTimeout(() => silence.abort(), SILENT);
      parser.feed(value);
    }
    await reader.cancel();
  } catch (error) {
    if (!silence.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function streamOf(answer: Response, poke: () => void): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const isStream = answer.headers.get("Content-Type")?.startsWith("text/event-stream") === true;
  if ((answer.ok && !isStream) || answer.body === null || [404, 405, 501].includes(answer.status)) throw new NoStream();
  if (answer.ok) return answer.body;
  if (answer.status === 410) poke(); // the cursor is too old, and `changes` says what to do
  throw await errorOf(answer);
}

function parserOf(heard: Heard, poke: () => void): EventSourceParser {
  return createParser({
    onRetry: (milliseconds) => {
      heard.retry = milliseconds;
    },
    onEvent: ({ event, data }) => {
      if (event === "changed") poke();
      if (event === "end") heard.reason = data;
    },
  });
}

/** Wait, or until there is a network again. */
export async function rest(milliseconds: number, signal: AbortSignal): Promise<void> {
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
