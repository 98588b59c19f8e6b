/** Run `work` as the only tab that does; without the Web Locks API, as the only one of this process. */
export async function alone<T>(name: string, signal: AbortSignal | null, work: () => Promise<T>): Promise<T> {
  const locks: LockManager | undefined = globalThis.navigator?.locks;
  if (locks === undefined) return await inTurn(name, work);
  return (await locks.request(name, signal === null ? {} : { signal }, work)) as T;
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

/** What wakes a loop: rung before it is waited for, it does not wait at all. */
export class Bell {
  #rung = false;
  #waiter: (() => void) | null = null;

  ring(): void {
    this.#rung = true;
    this.#waiter?.();
  }

  /** Until it is rung, or so many milliseconds have passed. */
  async wait(milliseconds: number): Promise<void> {
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
    this.#rung = false;
  }
}

/** Pauses that grow with each failure, by half a second to half a minute, drawn by lot so that clients do not march. */
export class Pauses {
  #failures = 0;

  next(atLeastSeconds: number | null = null): number {
    const longest = Math.min(30_000, 500 * 2 ** this.#failures);
    this.#failures += 1;
    return Math.max((atLeastSeconds ?? 0) * 1000, longest * (0.5 + Math.random() / 2));
  }

  reset(): void {
    this.#failures = 0;
  }
}
