import { deleteDB, openDB, type DBSchema, type IDBPDatabase, type IDBPTransaction } from "idb";
import { grows, relisted, unlisted, waiting, type Cache } from "./cache.js";
import { SignedOut } from "./errors.js";
import {
  adopted,
  edited,
  emptyRow,
  FRESH,
  heard,
  marked,
  seen,
  type Content,
  type Draft,
  type Row,
  type State,
  type Told,
} from "./row.js";
import { checkQuota, growth } from "./storable.js";

type StoredRow = Row & { order?: number };

interface Schema extends DBSchema {
  rows: { key: string; value: StoredRow; indexes: { order: number } };
  state: { key: "state"; value: State };
}

/** A cache in IndexedDB; its drafts survive whatever happens to the page. */
export class IndexedCache implements Cache {
  readonly #name: string;
  #opened: Promise<IDBPDatabase<Schema>> | null = null;
  #isClosed = false;

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

  async adopt(key: string, draft: Draft): Promise<boolean> {
    return await this.#write(async (tx) => {
      const state = await stateOf(tx);
      const row = adopted((await tx.objectStore("rows").get(key)) ?? emptyRow(key), draft, state.nextOrder);
      if (row === null) return false;
      await put(tx, row);
      await tx.objectStore("state").put({ ...state, nextOrder: state.nextOrder + 1 }, "state");
      return true;
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

  /** Empty it at once, and delete it as soon as no tab has it open: one that is frozen must not hold that up. */
  async drop(): Promise<void> {
    const db = await this.#open();
    const tx = db.transaction(["rows", "state"], "readwrite");
    await Promise.all([tx.objectStore("rows").clear(), tx.objectStore("state").clear(), tx.done]);
    db.close();
    this.close();
    await new Promise<void>((resolve, reject) => {
      deleteDB(this.#name, { blocked: () => resolve() }).then(resolve, reject);
    });
  }

  /** For good: an answer that comes later must not bring back what was dropped. */
  close(): void {
    this.#isClosed = true;
    void this.#opened?.then((db) => db.close()).catch(() => null);
    this.#opened = null;
  }

  /** See whether the browser lets anything be kept. */
  async open(): Promise<void> {
    await this.#db();
  }

  #db(): Promise<IDBPDatabase<Schema>> {
    if (this.#isClosed) return Promise.reject(new SignedOut("this store was closed"));
    this.#opened ??= this.#open();
    return this.#opened;
  }

  #open(): Promise<IDBPDatabase<Schema>> {
    return openDB<Schema>(this.#name, 1, {
      upgrade(db) {
        db.createObjectStore("rows", { keyPath: "key" }).createIndex("order", "order");
        db.createObjectStore("state");
      },
      blocking: (_now, _next, event) => (event.target as IDBDatabase).close(), // another tab signs out
      terminated: () => {
        this.#opened = null; // the browser cleared it: what is there is listed anew
      },
    });
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
