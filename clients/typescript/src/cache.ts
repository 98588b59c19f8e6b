import { seen, type Content, type Draft, type Row, type State, type Told } from "./row.js";
import { growth, type Growth } from "./storable.js";

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
  /** Take a draft over from a guest who is this person now; false where the key has one already. */
  adopt(key: string, draft: Draft): Promise<boolean>;
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

/** A row that a listing of everything did not name: null where it goes, without what was stored where a draft is left. */
export function unlisted(row: Row, listing: number): Row | null {
  if (row.listing === listing) return row;
  return row.draft === null ? null : { ...row, stored: null, version: 0, updatedAt: null };
}

export function relisted(state: State): State {
  return { ...state, cursor: null, listing: state.listing + 1, isListing: true };
}

/** Whether a change makes what is kept more. */
export function grows(grown: Growth): boolean {
  return grown.keys > 0 || grown.bytes > 0;
}

/** By how much a row's draft makes what is stored more, or less. */
export function waiting(row: Row): Growth {
  return growth(row.stored, seen(row));
}
