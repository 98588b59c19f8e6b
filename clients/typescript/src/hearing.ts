import type { SatchelError } from "./errors.js";
import { follow, NoStream, type Following } from "./live.js";
import { Pauses } from "./locks.js";

/** Seconds. */
const LONG_POLL = 25;
/** So many questions that wait, and then a stream is tried again. */
const QUESTIONS = 20;
/** Milliseconds, until everything was fetched for the first time. */
const NOTHING_FETCHED = 200;

/** How a store hears of changes. */
export interface Hearing extends Following {
  /** Whether streams are wanted at all. */
  stream: boolean;
  /** A question that the server answers when something changes, or after so many seconds. */
  ask: (seconds: number) => Promise<void>;
}

/** Hear of changes by a stream; where none gets through, by questions that wait for an answer, for a while. */
export async function hear(hearing: Hearing): Promise<void> {
  while (!hearing.signal.aborted) {
    if (hearing.stream) await follow(hearing).catch(unlessNoStream);
    await poll(hearing);
  }
}

async function poll({ place, signal, ask }: Hearing): Promise<void> {
  const pauses = new Pauses();
  for (let left = QUESTIONS; left > 0 && !signal.aborted; left--) {
    try {
      const isNew = (await place.state()).cursor === null;
      if (!isNew) await ask(LONG_POLL);
      pauses.reset();
      if (isNew) await new Promise((resolve) => setTimeout(resolve, NOTHING_FETCHED));
    } catch (error) {
      if (signal.aborted) return;
      await new Promise((resolve) => setTimeout(resolve, pauses.next((error as SatchelError).retryAfter ?? null)));
    }
  }
}

function unlessNoStream(error: unknown): void {
  if (!(error instanceof NoStream)) throw error;
}
