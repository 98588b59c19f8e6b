import type { Cache } from "./cache.js";
import { IndexedCache } from "./indexed-cache.js";
import { MemoryCache } from "./memory-cache.js";
import { databases } from "./places.js";
import type { Content, Draft, Row, State, Told } from "./row.js";

/** A cache in IndexedDB; where the browser lets nothing be kept, as in some private windows, in memory. */
export class KeptCache implements Cache {
  /** Whether it is in IndexedDB, which tabs share. */
  readonly isShared: Promise<boolean>;
  readonly #chosen: Promise<Cache>;

  constructor(name: string, kind: "indexeddb" | "memory") {
    this.#chosen = kind === "indexeddb" && databases() !== null ? chosen(name) : Promise.resolve(new MemoryCache());
    this.isShared = this.#chosen.then((cache) => cache instanceof IndexedCache);
  }

  async state(): Promise<State> {
    return await (await this.#chosen).state();
  }

  async get(key: string): Promise<Row | undefined> {
    return await (await this.#chosen).get(key);
  }

  async list(prefix: string): Promise<Row[]> {
    return await (await this.#chosen).list(prefix);
  }

  async edit(key: string, change: (before: Content) => Content): Promise<void> {
    await (await this.#chosen).edit(key, change);
  }

  async update(key: string, change: (before: Row) => Row): Promise<void> {
    await (await this.#chosen).update(key, change);
  }

  async adopt(key: string, draft: Draft): Promise<boolean> {
    return await (await this.#chosen).adopt(key, draft);
  }

  async apply(changes: Told[], cursor: string, more: boolean): Promise<string[]> {
    return await (await this.#chosen).apply(changes, cursor, more);
  }

  async noteQuota(header: string | null): Promise<void> {
    await (await this.#chosen).noteQuota(header);
  }

  async relist(): Promise<void> {
    await (await this.#chosen).relist();
  }

  async take(limit: number): Promise<Row[]> {
    return await (await this.#chosen).take(limit);
  }

  async pending(): Promise<number> {
    return await (await this.#chosen).pending();
  }

  async drop(): Promise<void> {
    await (await this.#chosen).drop();
  }

  close(): void {
    void this.#chosen.then((cache) => cache.close());
  }
}

async function chosen(name: string): Promise<Cache> {
  const indexed = new IndexedCache(name);
  try {
    await indexed.open();
    return indexed;
  } catch {
    return new MemoryCache();
  }
}
