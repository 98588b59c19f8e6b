import { rest } from "./live.js";
import { Pauses } from "./locks.js";

/** Conflicts that are being decided, by the app or by a person: nothing else waits for that. */
export class Asking {
  readonly #asked = new Map<string, Promise<string[]>>();
  readonly #pauses = new Pauses();

  /** @param done is given the keys that look different, whenever one was decided, or may be asked again. */
  constructor(
    private readonly signal: AbortSignal,
    private readonly done: (keys: string[]) => void,
  ) {}

  get size(): number {
    return this.#asked.size;
  }

  has(key: string): boolean {
    return this.#asked.has(key);
  }

  begin(key: string, decision: Promise<string[]>): void {
    this.#asked.set(key, decision);
    void this.#end(key, decision);
  }

  /** Wait for all that is asked now; whether anything was. What the app's `onConflict` throws is thrown. */
  async all(): Promise<boolean> {
    const asked = await Promise.all(this.#asked.values());
    return asked.length > 0;
  }

  async #end(key: string, decision: Promise<string[]>): Promise<void> {
    let keys: string[] = [];
    try {
      keys = await decision;
      this.#pauses.reset();
    } catch (error) {
      if (this.signal.aborted) return;
      console.error("satchel-client: onConflict failed, and is asked again", error);
      await rest(this.#pauses.next(), this.signal);
    }
    this.#asked.delete(key);
    if (!this.signal.aborted) this.done(keys);
  }
}
