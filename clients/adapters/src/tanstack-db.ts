/**
 * TanStack DB over Satchel: collections of an app's data, kept offline and in step by `satchel-client`.
 *
 * A row is the value under the key `prefix` + key, with the key in a field of its own.
 *
 * @packageDocumentation
 */
import type { CollectionConfig, PendingMutation, SyncConfig } from "@tanstack/db";
import {
  equal,
  openStore,
  Unstorable,
  type Entry,
  type FieldError,
  type Json,
  type JsonObject,
  type OnConflict,
  type Refusal,
  type Session,
  type Store,
  type StoreOptions,
} from "satchel-client";
import { isObject } from "./shared.js";

export interface CollectionOptions<T extends object> {
  /** The field that has the key: `"id"`. */
  key: keyof T & string;
  /** What the keys of this collection begin with, where an app has several: `"note."`. */
  prefix?: string;
  /** Of the collection, for TanStack; by the app and prefix if not said. */
  id?: string;
  /**
   * When a transaction is done: `stored`, as the server has it, so that a refusal rolls it back; or `kept`, as soon as
   * it is on this device.
   */
  until?: "stored" | "kept";
}

/** The server will never take it, as it said or as is known before; the transaction was rolled back. */
export class Refused extends Error {
  override name = "Refused";
  readonly key: string;
  readonly errors: FieldError[];

  constructor({ key, errors }: Refusal) {
    super(`${key} was refused: ${errors.map(({ code }) => code).join(", ")}`);
    this.key = key;
    this.errors = errors;
  }
}

/** An app's data of the person who is signed in. */
export interface Satchel {
  readonly store: Store;
  /** What `createCollection` is given. */
  collection<T extends object>(options: CollectionOptions<T>): CollectionConfig<T, string> & { id: string };
  /** Stop keeping in step; collections are emptied. What was not sent is kept. */
  close(): void;
}

/**
 * Open an app's data of the person who is signed in: one for all its collections. It ends with the session.
 *
 * @throws SignedOut where nobody is.
 */
export function openSatchel(session: Session, appId: string, options: StoreOptions): Satchel {
  const refusals = new Map<string, Refusal>();
  const store = openStore(session, appId, {
    ...options,
    onRefused: (refusal) => {
      refusals.set(refusal.key, refusal);
      options.onRefused?.(refusal);
    },
  });
  const end = new AbortController();
  const { userId } = session;
  const unlisten = session.onChange((now) => now !== userId && close());
  const close = (): void => {
    unlisten();
    store.close();
    end.abort();
  };
  return {
    store,
    collection: <T extends object>(of: CollectionOptions<T>) =>
      new Rows<T>(store, of, options.onConflict, refusals, end.signal).config(of.id ?? `satchel:${appId}:${of.prefix ?? ""}`),
    close,
  };
}

type Sync<T extends object> = Parameters<SyncConfig<T, string>["sync"]>[0];
type Mutations = { transaction: { mutations: PendingMutation<object>[] } };

/** What was to be changed is something else by now. */
class Overtaken extends Error {}

class Rows<T extends object> {
  readonly #shown = new Map<string, Json>();
  readonly #prefix: string;
  #sync: Sync<T> | null = null;

  constructor(
    private readonly store: Store,
    private readonly options: CollectionOptions<T>,
    private readonly onConflict: OnConflict,
    private readonly refusals: Map<string, Refusal>,
    private readonly end: AbortSignal,
  ) {
    this.#prefix = options.prefix ?? "";
  }

  config(id: string): CollectionConfig<T, string> & { id: string } {
    const save = async ({ transaction }: Mutations): Promise<void> => await this.#save(transaction.mutations);
    return {
      id,
      getKey: (row) => String(row[this.options.key]),
      sync: { rowUpdateMode: "full", sync: (sync) => this.#begin(sync) },
      onInsert: save as never,
      onUpdate: save as never,
      onDelete: save as never,
    };
  }

  // From the store.

  #begin(sync: Sync<T>): () => void {
    this.#sync = sync;
    this.#shown.clear();
    const unwatch = this.store.watch(this.#prefix, (entries) => this.#show(entries));
    void this.#ready(sync);
    const emptied = (): void => this.#show([]);
    this.end.addEventListener("abort", emptied);
    return () => {
      unwatch();
      this.end.removeEventListener("abort", emptied);
      this.#sync = null;
    };
  }

  /** Ready with what is kept here; where that is nothing, with what the server has, if it can be reached. */
  async #ready({ markReady }: Sync<T>): Promise<void> {
    try {
      if ((await this.store.list(this.#prefix)).length === 0) await this.store.flush();
    } catch {
      // offline: what is here is all there is
    }
    if (!this.end.aborted) await this.#refresh();
    markReady();
  }

  async #refresh(): Promise<void> {
    this.#show(await this.store.list(this.#prefix));
  }

  #show(all: Entry[]): void {
    if (this.#sync === null) return;
    const entries = all.filter((entry) => isObject(entry.value));
    const { begin, write, commit } = this.#sync;
    const keys = new Set(entries.map(({ key }) => key));
    const gone = [...this.#shown.keys()].filter((key) => !keys.has(key));
    const changed = entries.filter(({ key, value }) => !equal(this.#shown.get(key), value));
    if (gone.length === 0 && changed.length === 0) return;
    begin();
    for (const key of gone) write({ type: "delete", key: this.#bare(key) });
    for (const { key, value } of changed) {
      write({ type: this.#shown.has(key) ? "update" : "insert", value: this.#row(key, value) });
      this.#shown.set(key, value);
    }
    for (const key of gone) this.#shown.delete(key);
    void commit();
  }

  // To the store.

  async #save(mutations: PendingMutation<object>[]): Promise<void> {
    const keys = mutations.map((mutation) => this.#prefix + String(mutation.key));
    for (const key of keys) this.refusals.delete(key);
    await Promise.all(mutations.map((mutation, place) => this.#change(keys[place] as string, mutation)));
    if (this.options.until !== "kept") await Promise.all(keys.map((key) => this.store.settled(key)));
    await this.#refresh(); // so that nothing is seen to go back when TanStack lets go of the change
    const refused = keys.map((key) => this.refusals.get(key)).find((refusal) => refusal !== undefined);
    if (refused !== undefined) throw new Refused(refused);
  }

  /**
   * Make one change. TanStack holds back what comes in while a transaction is under way, so that a row may be another
   * by now than the one that was changed: then that is a conflict.
   */
  async #change(key: string, { type, original, modified }: PendingMutation<object>): Promise<void> {
    let base = type === "insert" ? undefined : this.#value(original);
    let mine = type === "delete" ? undefined : this.#value(modified);
    for (;;) {
      let now: Json | undefined;
      try {
        await this.store.update(key, (before) => {
          now = before;
          if (!equal(before, base)) throw new Overtaken();
          return mine;
        });
        return;
      } catch (error) {
        if (error instanceof Unstorable) throw new Refused({ key, value: mine, errors: error.errors });
        if (!(error instanceof Overtaken)) throw error;
      }
      mine = await this.onConflict(base, mine, now, key);
      base = now;
    }
  }

  #value(row: object): Json {
    const { [this.options.key as string]: _key, ...value } = JSON.parse(JSON.stringify(row)) as JsonObject;
    return value;
  }

  #row(key: string, value: Json): T {
    return { ...(value as JsonObject), [this.options.key as string]: this.#bare(key) } as T;
  }

  #bare(key: string): string {
    return key.slice(this.#prefix.length);
  }
}
