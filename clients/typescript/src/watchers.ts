import { SignedOut } from "./errors.js";
import type { Entry } from "./types.js";

interface Watcher {
  prefix: string;
  listener: (entries: Entry[]) => void;
}

/** Who is told when values are different, each with the values whose keys begin as it asked for. */
export class Watchers {
  readonly #watchers = new Set<Watcher>();
  readonly #list: (prefix: string) => Promise<Entry[]>;

  constructor(list: (prefix: string) => Promise<Entry[]>) {
    this.#list = list;
  }

  /** Tell of the values as they are now, and again whenever one of them is different; the answer ends it. */
  add(prefix: string, listener: (entries: Entry[]) => void): () => void {
    const watcher = { prefix, listener };
    this.#watchers.add(watcher);
    this.#show(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Tell those who asked for one of these keys. */
  changed(keys: string[]): void {
    for (const watcher of this.#watchers) {
      if (keys.some((key) => key.startsWith(watcher.prefix))) this.#show(watcher);
    }
  }

  /** Tell everybody of no values, for the last time. */
  end(): void {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const { listener } of watchers) listener([]);
  }

  /**
   * Be done when it holds: looked at now, and whenever the key is different.
   *
   * @throws SignedOut where the store is closed before.
   */
  async until(key: string, holds: () => Promise<boolean>, end: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const done = (how: () => void): void => {
        this.#watchers.delete(watcher);
        end.removeEventListener("abort", closed);
        how();
      };
      const closed = (): void => done(() => reject(new SignedOut("this store was closed; what waits is kept")));
      const look = (): void => {
        void holds().then((so) => so && done(resolve), () => null); // nothing can be read: the next change looks again
      };
      const watcher = { prefix: key, listener: look };
      this.#watchers.add(watcher);
      end.addEventListener("abort", closed);
      if (end.aborted) closed();
      else look();
    });
  }

  #show(watcher: Watcher): void {
    this.#list(watcher.prefix).then(
      (entries) => this.#watchers.has(watcher) && watcher.listener(entries),
      () => null, // it is closed, or nothing can be read: the next change asks again
    );
  }
}
