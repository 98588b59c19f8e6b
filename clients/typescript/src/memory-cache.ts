import { grows, relisted, unlisted, waiting, type Cache } from "./cache.js";
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

  adopt(key: string, draft: Draft): Promise<boolean> {
    const row = adopted(this.#rows.get(key) ?? emptyRow(key), draft, this.#state.nextOrder);
    if (row !== null) {
      this.#rows.set(key, row);
      this.#state = { ...this.#state, nextOrder: this.#state.nextOrder + 1 };
    }
    return Promise.resolve(row !== null);
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
