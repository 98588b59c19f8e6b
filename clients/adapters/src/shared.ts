/**
 * What the adapters have in common. Whoever copies one of them copies this file too.
 *
 * @packageDocumentation
 */
import { SatchelError, type Changes, type Json, type JsonObject, type Remote } from "satchel-client";

/** One of the changes of a page: a value, or a key that is gone. */
export type Change = Changes["changes"][number];

/** The database keeps the data of somebody else. Remove it, or name it after the person. */
export class AnotherPerson extends Error {
  override name = "AnotherPerson";
}

/** A page of changes; null where the cursor is too old. */
export async function pageAfter(remote: Remote, cursor: string | null, limit?: number): Promise<Changes | null> {
  try {
    return await remote.changes(cursor, limit);
  } catch (error) {
    if (error instanceof SatchelError && error.status === 410 && cursor !== null) return null;
    throw error;
  }
}

/** Documents, records and rows are objects; what else another client stored under a key is none. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The fields of a change; none where it is a deletion, or no object. */
export function fieldsOf(change: Change): JsonObject | undefined {
  return "value" in change && isObject(change.value) ? change.value : undefined;
}
