/**
 * Collections that are to be replicated, with what decides their conflicts.
 *
 * @packageDocumentation
 */
import {
  getPrimaryFieldOfPrimaryKey,
  type RxCollectionCreator,
  type RxConflictHandler,
  type RxJsonSchema,
} from "rxdb/plugins/core";
import type { Json, JsonObject, OnConflict } from "satchel-client";
import { bare, same, versioned, type Doc, type Versioned } from "./documents.js";

/** What the conflict handler, made with the collection, is told by its replication. */
export interface Told {
  refused: Set<string>;
  bases: Map<string, Doc>;
}

/** By conflict handler. */
export const TOLD = new WeakMap<object, Told>();

/**
 * What `addCollections` is given for a collection that is to be replicated.
 *
 * @param creator as RxDB has it; the field `satchelVersion` is added to its schema.
 * @param onConflict decides what becomes of a document that was changed here and elsewhere; `mergeFields` suits many.
 */
export function satchelCollection<T>(
  creator: RxCollectionCreator<T>,
  onConflict: OnConflict,
): RxCollectionCreator<T & Versioned> {
  const schema = creator.schema as unknown as RxJsonSchema<Versioned>;
  const properties = { ...schema.properties, satchelVersion: { type: "integer" } };
  const primary = getPrimaryFieldOfPrimaryKey(schema.primaryKey) as string;
  return {
    ...creator,
    schema: { ...schema, properties } as unknown as RxJsonSchema<T & Versioned>,
    localDocuments: true,
    conflictHandler: deciding(primary, onConflict) as unknown as RxConflictHandler<T & Versioned>,
  };
}

function deciding(primary: string, onConflict: OnConflict): RxConflictHandler<Doc> {
  const told: Told = { refused: new Set(), bases: new Map() };
  const valueOf = (doc?: Doc): Json | undefined => (doc === undefined || doc._deleted ? undefined : bare(doc, primary));
  const handler: RxConflictHandler<Doc> = {
    isEqual: (one, other) => one.satchelVersion === other.satchelVersion && same(one, other),
    resolve: async ({ newDocumentState: mine, assumedMasterState, realMasterState: theirs }) => {
      const key = mine[primary] as string;
      if (told.refused.delete(key)) return theirs; // else it would be sent for ever
      const base = told.bases.get(key) ?? assumedMasterState;
      const value = await onConflict(valueOf(base), valueOf(mine), valueOf(theirs), key);
      if (value === undefined) return { ...theirs, _deleted: true };
      return { ...(value as JsonObject), [primary]: key, ...versioned(theirs.satchelVersion), _deleted: false };
    },
  };
  TOLD.set(handler, told);
  return handler;
}
