import { deleteDB, openDB, type DBSchema, type IDBPDatabase, type IDBPTransaction } from "idb";
import { edited, emptyRow, FRESH, heard, marked, seen, type Content, type Row, type State, type Told } from "./row.js";
import { checkQuota, growth, type Growth } from "./storable.js";

/** What a client keeps of one person's data of one app. Each call is one transaction. */
export interface Cache {
  state(): Promise<State>;
  get(key: string): Promise<Row | undefined>;
  /** The rows of keys that begin so, in the order of their keys. */
  list(prefix: string): Promise<Row[]>;
  /** A change made here, by what is seen; Unstorable where the quota has no room for it. */
  edit(key: string, change: (before: Content) => Content): Promise<void>;
  /** One row, by what it was. */
  update(key: string, change: (before: Row) => Row): Promise<void>;
  /** A page of changes and the cursor behind it; the keys that look different now. */
  apply(changes: Told[], cursor: string, more: boolean): Promise<string[]>;
  /** Keep what the server told of the quota. */
  noteQuota(header: string | null): Promise<void>;
  /** Begin to list everything anew. */
  relist(): Promise<void>;
  /** The drafts that wait longest, each marked as sent. */
  take(limit: number): Promise<Row[]>;
  pending(): Promise<number>;
  /** Forget everything. */
  drop(): Promise<void>;
  close(): void;
}

type StoredRow = Row & { order?: number };

interface Schema extends DBSchema {
  rows: { key: string; value: StoredRow; indexes: { order: number } };
  state: { key: "state"; value: State };
}

/** A cache in IndexedDB; its drafts survive whatever happens to the page. */
export class IndexedCache implements Cache {
  readonly #name: string;
  #opened: Promise<IDBPDatabase<Schema>> | null = null;

  constructor(name: string) {
    this.#name = name;
  }

  async state(): Promise<State> {
    return (await (await this.#db()).get("state", "state")) ?? FRESH;
  }

  async get(key: string): Promise<Row | undefined> {
    return await (await this.#db()).get("rows", key);
  }

  async list(prefix: string): Promise<Row[]> {
    return await (await this.#db()).getAll("rows", IDBKeyRange.bound(prefix, `${prefix}\uffff`));
  }

  async edit(key: string, change: (before: Content) => Content): Promise<void> {
    await this.#write(async (tx) => {
      const row = (await tx.objectStore("rows").get(key)) ?? emptyRow(key);
      const state = await stateOf(tx);
      const content = change(seen(row));
      const grown = growth(seen(row), content);
      if (state.quota != null && grows(grown)) {
        const drafts = await tx.objectStore("rows").index("order").getAll();
        checkQuota(state.quota, grown, drafts.map(waiting));
      }
      await put(tx, edited(row, content, state.nextOrder));
      await tx.objectStore("state").put({ ...state, nextOrder: state.nextOrder + 1 }, "state");
    });
  }

  async update(key: string, change: (before: Row) => Row): Promise<void> {
    await this.#write(async (tx) => {
      await put(tx, change((await tx.objectStore("rows").get(key)) ?? emptyRow(key)));
    });
  }

  async apply(changes: Told[], cursor: string, more: boolean): Promise<string[]> {
    return await this.#write(async (tx) => {
      const state = await stateOf(tx);
      const different: string[] = [];
      for (const told of changes) {
        const row = (await tx.objectStore("rows").get(told.dataKey)) ?? emptyRow(told.dataKey);
        const now = heard(row, told, state.listing);
        if (now.version !== row.version && row.draft === null) different.push(row.key);
        if (now.version !== row.version || state.isListing) await put(tx, now);
      }
      if (!more && state.isListing) {
        for (const row of await tx.objectStore("rows").getAll()) {
          const left = unlisted(row, state.listing);
          if (left === row) continue;
          if (seen(row) !== null && row.draft === null) different.push(row.key);
          await (left === null ? tx.objectStore("rows").delete(row.key) : put(tx, left));
        }
      }
      await tx.objectStore("state").put({ ...state, cursor, isListing: state.isListing && more }, "state");
      return different;
    });
  }

  async noteQuota(header: string | null): Promise<void> {
    if (((await this.state()).quota ?? null) === header) return;
    await this.#write(async (tx) => {
      await tx.objectStore("state").put({ ...(await stateOf(tx)), quota: header }, "state");
    });
  }

  async relist(): Promise<void> {
    await this.#write(async (tx) => {
      await tx.objectStore("state").put(relisted(await stateOf(tx)), "state");
    });
  }

  async take(limit: number): Promise<Row[]> {
    return await this.#write(async (tx) => {
      const rows = (await tx.objectStore("rows").index("order").getAll(null, limit)).map(marked);
      for (const row of rows) await put(tx, row);
      return rows;
    });
  }

  async pending(): Promise<number> {
    return await (await this.#db()).countFromIndex("rows", "order");
  }

  async drop(): Promise<void> {
    this.close();
    await deleteDB(this.#name);
  }

  close(): void {
    void this.#opened?.then((db) => db.close());
    this.#opened = null;
  }

  #db(): Promise<IDBPDatabase<Schema>> {
    this.#opened ??= openDB<Schema>(this.#name, 1, {
      upgrade(db) {
        db.createObjectStore("rows", { keyPath: "key" }).createIndex("order", "order");
        db.createObjectStore("state");
      },
      blocking: (_now, _next, event) => (event.target as IDBDatabase).close(), // another tab signs out
    });
    return this.#opened;
  }

  async #write<T>(work: (tx: Writing) => Promise<T>): Promise<T> {
    const tx = (await this.#db()).transaction(["rows", "state"], "readwrite", { durability: "strict" });
    try {
      const result = await work(tx);
      await tx.done;
      return result;
    } catch (error) {
      tx.done.catch(() => null); // it is told by the error itself
      try {
        tx.abort();
      } catch {
        // it has ended by itself
      }
      throw error;
    }
  }
}

type Writing = IDBPTransaction<Schema, ("rows" | "state")[], "readwrite">;

async function stateOf(tx: Writing): Promise<State> {
  return (await tx.objectStore("state").get("state")) ?? FRESH;
}

/** Only rows with a draft have an `order`, so the index holds the outbox and nothing else. */
async function put(tx: Writing, row: Row): Promise<void> {
  const { order: _, ...rest } = row as StoredRow;
  await tx.objectStore("rows").put(rest.draft === null ? rest : { ...rest, order: rest.draft.order });
}

/** A row that a listing of everything did not name: null where it goes, without what was stored where a draft is left. */
function unlisted(row: Row, listing: number): Row | null {
  if (row.listing === listing) return row;
  return row.draft === null ? null : { ...row, stored: null, version: 0, updatedAt: null };
}

function grows(grown: Growth): boolean {
  return grown.keys > 0 || grown.bytes > 0;
}

/** By how much a row's draft makes what is stored more, or less. */
function waiting(row: Row): Growth {
  return growth(row.stored, seen(row));
}

function relisted(state: State): State {
  return { ...state, cursor: null, listing: state.listing + 1, isListing: true };
}

/** A cache that lasts as long as the page or process, where there is no IndexedDB. */
export class MemoryCache implements Cache {
  #rows = new Map<string, Row>();
  #state = FRESH;

  state(): Promise<State> {
    return Promise.resolve(this.#state);
  }

  get(key: string): Promise<Row | undefined> {
    return Promise.resolve(this.#rows.get(key));
  }

  list(prefix: string): Promise<Row[]> {
    const rows = [...this.#rows.values()].filter((row) => row.key.startsWith(prefix));
    return Promise.resolve(rows.sort((one, other) => (one.key < other.key ? -1 : 1)));
  }

  async edit(key: string, change: (before: Content) => Content): Promise<void> {
    const row = this.#rows.get(key) ?? emptyRow(key);
    const content = change(seen(row));
    const { quota } = this.#state;
    const grown = growth(seen(row), content);
    if (quota != null && grows(grown)) checkQuota(quota, grown, [...this.#rows.values()].map(waiting));
    this.#rows.set(key, edited(row, content, this.#state.nextOrder));
    this.#state = { ...this.#state, nextOrder: this.#state.nextOrder + 1 };
  }

  async noteQuota(header: string | null): Promise<void> {
    this.#state = { ...this.#state, quota: header };
  }

  update(key: string, change: (before: Row) => Row): Promise<void> {
    this.#rows.set(key, change(this.#rows.get(key) ?? emptyRow(key)));
    return Promise.resolve();
  }

  apply(changes: Told[], cursor: string, more: boolean): Promise<string[]> {
    const state = this.#state;
    const different: string[] = [];
    for (const told of changes) {
      const row = this.#rows.get(told.dataKey) ?? emptyRow(told.dataKey);
      const now = heard(row, told, state.listing);
      if (now.version !== row.version && row.draft === null) different.push(row.key);
      this.#rows.set(row.key, now);
    }
    for (const row of state.isListing && !more ? [...this.#rows.values()] : []) {
      const left = unlisted(row, state.listing);
      if (left === row) continue;
      if (seen(row) !== null && row.draft === null) different.push(row.key);
      if (left === null) this.#rows.delete(row.key);
      else this.#rows.set(row.key, left);
    }
    this.#state = { ...state, cursor, isListing: state.isListing && more };
    return Promise.resolve(different);
  }

  relist(): Promise<void> {
    this.#state = relisted(this.#state);
    return Promise.resolve();
  }

  take(limit: number): Promise<Row[]> {
    const drafts = [...this.#rows.values()].filter((row) => row.draft !== null);
    drafts.sort((one, other) => (one.draft?.order ?? 0) - (other.draft?.order ?? 0));
    const rows = drafts.slice(0, limit).map(marked);
    for (const row of rows) this.#rows.set(row.key, row);
    return Promise.resolve(rows);
  }

  pending(): Promise<number> {
    return Promise.resolve([...this.#rows.values()].filter((row) => row.draft !== null).length);
  }

  drop(): Promise<void> {
    this.#rows.clear();
    this.#state = FRESH;
    return Promise.resolve();
  }

  close(): void {}
}
