/**
 * What becomes of a record by what the server tells of it.
 *
 * @packageDocumentation
 */
import { equal, type Json, type Write } from "satchel-client";

/** One record: what is seen, and what it was made of. `undefined` is no value; a deletion that waits is a value less. */
export interface Row {
  value: Json | undefined;
  base: Json | undefined;
  version: number;
  isDirty: boolean;
}

/** A record was changed here, and is something else at the server. */
export interface Conflict {
  theirs: Json | undefined;
  version: number;
}

/** Makes the next row of a row, or finds that it has to be asked. */
export type Step = (row: Row) => Row | Conflict;

/** The row after what the server told of it; older news are no news. */
export function heard(row: Row, theirs: Json | undefined, version: number): Row | Conflict {
  if (row.base === undefined && theirs === undefined) return row;
  if (row.base !== undefined && version <= row.version) return row;
  return rebased(row, theirs, version);
}

/** The row, made of what is stored now; a conflict where that cannot be without asking. */
export function rebased(row: Row, theirs: Json | undefined, version: number): Row | Conflict {
  if (!row.isDirty || equal(row.value, theirs)) return { value: theirs, base: theirs, version, isDirty: false };
  if (row.base !== undefined && equal(row.base, theirs)) return { ...row, version };
  return { theirs, version };
}

/** The row after its change was stored; a later one is still to be sent. */
export function settled(row: Row, sent: Json | undefined, version: number): Row {
  return { ...row, base: sent, version, isDirty: !equal(row.value, sent) };
}

/** The row after its change was refused for good; a later one is still to be sent. */
export function refused(row: Row, sent: Json | undefined, theirs: Json | undefined, version: number): Row {
  if (equal(row.value, sent)) return { value: theirs, base: theirs, version, isDirty: false };
  return { ...row, base: theirs, version };
}

export function writeOf(dataKey: string, { value, base, version }: Row): Write {
  const head = { dataKey, ifVersion: base === undefined ? 0 : version, mutationId: crypto.randomUUID() };
  return value === undefined ? { ...head, delete: true } : { ...head, value };
}

export function contentOf(write: Write): Json | undefined {
  return "value" in write ? write.value : undefined;
}
