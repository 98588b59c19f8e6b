/** Run `work` as the only tab that does; without the Web Locks API, as the only one of this process. */
export async function alone<T>(name: string, signal: AbortSignal | null, work: () => Promise<T>): Promise<T> {
  const locks: LockManager | undefined = globalThis.navigator?.locks;
  if (locks === undefined) return await inTurn(name, work);
  let hasBegun = false;
  const begun = (): Promise<T> => {
    hasBegun = true;
    return work();
  };
  try {
    return (await locks.request(name, signal === null ? {} : { signal }, begun)) as T;
  } catch (error) {
    if (hasBegun || (error as Error).name !== "SecurityError") throw error;
    return await inTurn(name, work); // a page without an origin of its own shares nothing
  }
}

const turns = new Map<string, Promise<unknown>>();

async function inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
  const before = turns.get(name) ?? Promise.resolve();
  const mine = before.then(work, work);
  turns.set(name, mine);
  try {
    return await mine;
  } finally {
    if (turns.get(name) === mine) turns.delete(name);
  }
}

/** Whether this page shares its data with other tabs. */
export function channel(name: string): BroadcastChannel | null {
  return typeof BroadcastChannel === "undefined" || globalThis.window === undefined ? null : new BroadcastChannel(name);
}

/** Be told when there is a network again. Call what is answered to be told no more. */
export function onOnline(listener: () => void): () => void {
  if (typeof globalThis.addEventListener !== "function") return () => undefined;
  globalThis.addEventListener("online", listener);
  return () => globalThis.removeEventListener("online", listener);
}

/** Be told when the page is looked at again: while it was not, browsers let timers and connections rest. */
export function onVisible(listener: () => void): () => void {
  const page: Document | undefined = globalThis.document;
  if (page === undefined) return () => undefined;
  const shown = (): void => {
    if (page.visibilityState === "visible") listener();
  };
  page.addEventListener("visibilitychange", shown);
  return () => page.removeEventListener("visibilitychange", shown);
}

/** What wakes a loop: rung before it is waited for, it does not wait at all. */
export class Bell {
  #rung = false;
  #waiter: (() => void) | null = null;

  ring(): void {
    this.#rung = true;
    this.#waiter?.();
  }

  /** Until it is rung, or so many milliseconds have passed; whether it was rung. */
  async wait(milliseconds: number): Promise<boolean> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, milliseconds);
        this.#waiter = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#waiter = null;
    const wasRung = this.#rung;
    this.#rung = false;
    return wasRung;
  }
}

/** A proxy that asks for more is not believed; and timers of browsers end at 24 days. */
const LONGEST_ASKED = 3_600_000;

/** Pauses that grow with each failure, by half a second to half a minute, drawn by lot so that clients do not march. */
export class Pauses {
  #failures = 0;

  next(atLeastSeconds: number | null = null): number {
    const longest = Math.min(30_000, 500 * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 10);
    const asked = Math.min(LONGEST_ASKED, (atLeastSeconds ?? 0) * 1000);
    return Math.max(asked, longest * (0.5 + Math.random() / 2));
  }

  reset(): void {
    this.#failures = 0;
  }
}
