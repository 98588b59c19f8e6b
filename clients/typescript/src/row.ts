import { uuid } from "./ids.js";
import { equal, type Json } from "./json.js";

/** A value, or null where there is none: `undefined` is no value that a database keeps. */
export type Content = { value: Json } | null;

/** A change that was made here and is not known to be stored. */
export interface Draft {
  /** Place in line; that of the first change which was not sent. */
  order: number;
  content: Content;
  mutationId: string;
  /** What the server had when the first change was made. */
  base: Content;
  baseVersion: number;
  /** What was sent, and whose answer is not known: it is sent again as it was. */
  sent: { content: Content; mutationId: string } | null;
}

/** One key: what the server is known to have, and what was changed here. */
export interface Row {
  key: string;
  stored: Content;
  /** 0 where nothing was ever heard of the key. */
  version: number;
  updatedAt: string | null;
  /** In which listing of everything it was seen last. */
  listing: number;
  draft: Draft | null;
}

/** What a client knows of all of an app's data. */
export interface State {
  /** Where `changes` goes on; null to begin with everything. */
  cursor: string | null;
  /** The number of the listing of everything that is under way, or was the last. */
  listing: number;
  /** Whether it is under way. */
  isListing: boolean;
  nextOrder: number;
  /** What the server told of the quota last, as its header; none where the app has no quota. */
  quota?: string | null;
}

export const FRESH: State = { cursor: null, listing: 1, isListing: true, nextOrder: 1 };

/** A change as `changes` tells it, or the `current` of a conflict. */
export interface Told {
  dataKey: string;
  version: number;
  value?: Json;
  deleted?: boolean;
  updatedAt?: string;
}

export function emptyRow(key: string): Row {
  return { key, stored: null, version: 0, updatedAt: null, listing: 0, draft: null };
}

/** What the app sees: its own change, or else what is stored. */
export function seen(row: Row): Content {
  return row.draft === null ? row.stored : row.draft.content;
}

/** The row after a change made here. Changes that were not sent become one. */
export function edited(row: Row, content: Content, order: number): Row {
  const before = row.draft;
  const draft: Draft =
    before === null
      ? { order, content, mutationId: uuid(), base: row.stored, baseVersion: versionToName(row), sent: null }
      : { ...before, content, mutationId: uuid() };
  return { ...row, draft };
}

/** The row after what the server told of it; older news are no news. */
export function heard(row: Row, told: Told, listing: number): Row {
  if (told.version <= row.version) return { ...row, listing };
  const stored: Content = told.deleted === true ? null : { value: told.value as Json };
  return { ...row, stored, version: told.version, updatedAt: told.updatedAt ?? null, listing };
}

/** The row with a draft of a guest who is this person now; null where it has one of its own, which comes first. */
export function adopted(row: Row, draft: Draft, order: number): Row | null {
  return row.draft === null ? { ...row, draft: { ...draft, order } } : null;
}

/** The row with its draft marked as sent, unless one is already under way. */
export function marked(row: Row): Row {
  const draft = row.draft;
  if (draft === null || draft.sent !== null) return row;
  return { ...row, draft: { ...draft, sent: { content: draft.content, mutationId: draft.mutationId } } };
}

/** The row after its change was stored under a version. */
export function settled(row: Row, mutationId: string, version: number): Row {
  const draft = row.draft;
  const sent = draft?.sent ?? null;
  if (draft === null || sent === null || sent.mutationId !== mutationId) return row;
  const told = heard(row, { dataKey: row.key, version, ...asTold(sent.content) }, row.listing);
  if (draft.mutationId === mutationId) return { ...told, draft: null };
  return { ...told, draft: { ...draft, base: sent.content, baseVersion: version, sent: null } };
}

/** The row after a conflict was decided; `version` is 0 where there is no live value. */
export function decided(row: Row, theirs: Content, version: number, mine: Content): Row {
  const draft = row.draft;
  if (draft === null) return row;
  const isTheirs = equal(mine?.value, theirs?.value) && (mine === null) === (theirs === null);
  const next: Draft = {
    ...draft,
    content: mine,
    mutationId: uuid(),
    base: theirs,
    baseVersion: version,
    sent: null,
  };
  return { ...row, draft: isTheirs ? null : next };
}

/** The row after its change was refused for good; a later one is still to be sent. */
export function refused(row: Row, mutationId: string): Row {
  const draft = row.draft;
  if (draft === null || draft.sent?.mutationId !== mutationId) return row;
  return { ...row, draft: draft.mutationId === mutationId ? null : { ...draft, sent: null } };
}

/** What there is no live value of is named by 0, as the server does. */
function versionToName(row: Row): number {
  return row.stored === null ? 0 : row.version;
}

function asTold(content: Content): Pick<Told, "value" | "deleted"> {
  return content === null ? { deleted: true } : { value: content.value };
}
