/**
 * What a document is, and what is stored of it.
 *
 * @packageDocumentation
 */
import type { WithDeleted } from "rxdb/plugins/core";
import { equal, type JsonObject, type Live } from "satchel-client";
import { fieldsOf, type Change } from "../shared.js";

/** What a document has besides the app's own fields. */
export interface Versioned {
  /** The version at the server that the document was made of; set by the replication. */
  satchelVersion?: number;
}

/** As RxDB keeps it. */
export type Doc = WithDeleted<JsonObject & Versioned>;

/** What is stored of a document: its fields, but for its key and what RxDB and its replication add. */
export function bare(doc: Doc, primary: string): JsonObject {
  const { [primary]: _key, satchelVersion: _version, _deleted, _attachments, ...value } = doc;
  return value as JsonObject;
}

/** Whether the same is stored of both. */
export function same(one: Doc, other: Doc | undefined): boolean {
  if (other === undefined || one._deleted !== other._deleted) return false;
  return one._deleted || equal(bare(one, ""), bare(other, ""));
}

/** Whether a change is a document, and no deletion. */
export function isDocument(change: Change): change is Live & { value: JsonObject } {
  return fieldsOf(change) !== undefined;
}

/** The field of a version, where there is one. */
export function versioned(version: number | undefined): Versioned {
  return version === undefined ? {} : { satchelVersion: version };
}
