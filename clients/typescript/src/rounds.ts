import type { SatchelError } from "./errors.js";
import { rest } from "./live.js";
import { Pauses, type Bell } from "./locks.js";

/** Milliseconds after which it is asked though nobody has told of anything. */
const POLL = 60_000;

/** How a store is kept in step. */
export interface Rounds {
  bell: Bell;
  signal: AbortSignal;
  sync: () => Promise<void>;
  /** There may be news at the server. */
  stale: () => void;
  failed: (error: unknown) => Promise<void>;
}

/** Send and fetch whenever there is reason to, until the signal. */
export async function keepInStep({ bell, signal, sync, stale, failed }: Rounds): Promise<void> {
  const pauses = new Pauses();
  while (!signal.aborted) {
    try {
      await sync();
      pauses.reset();
      if (!(await bell.wait(POLL))) stale(); // nothing rests on being told
    } catch (error) {
      if (signal.aborted) return;
      stale();
      await failed(error);
      const { retryAfter = null } = error as Partial<SatchelError>;
      const pause = pauses.next(retryAfter);
      // a change made here is reason for another try, but not where the server has said when to come
      await (retryAfter === null ? bell.wait(pause) : rest(pause, signal));
    }
  }
}
