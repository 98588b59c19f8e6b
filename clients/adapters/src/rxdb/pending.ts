/**
 * What of a replicated collection is not known to be stored.
 *
 * @packageDocumentation
 */
import {
  getAssumedMasterState,
  getChangedDocumentsSince,
  getLastCheckpointDoc,
  writeDocToDocState,
} from "rxdb/plugins/core";
import type { RxReplicationState } from "rxdb/plugins/replication";
import type { Doc } from "./documents.js";

const PAGE = 100;

/** Up to where a collection was read. */
export interface Checkpoint {
  cursor: string;
  /** Of a listing of everything that is under way, after a 410. */
  listing: string | null;
}

/** How many documents have changes that are not known to be stored. */
export async function pending(replication: RxReplicationState<never, never> | RxReplicationState<Doc, Checkpoint>): Promise<number> {
  const state = (replication as RxReplicationState<Doc, Checkpoint>).internalReplicationState;
  if (state === undefined) return 0;
  const { forkInstance, conflictHandler } = state.input;
  let checkpoint = await getLastCheckpointDoc<Doc, never>(state as never, "up");
  for (let count = 0; ; ) {
    const { documents, checkpoint: next } = await getChangedDocumentsSince<Doc, never>(forkInstance as never, PAGE, checkpoint);
    if (documents.length === 0) return count;
    checkpoint = next as never;
    const known = await getAssumedMasterState(state, documents.map((doc) => doc[state.primaryPath] as string));
    for (const doc of documents) {
      const assumed = known[doc[state.primaryPath] as string]?.docData;
      const now = writeDocToDocState(doc, state.hasAttachments, false) as Doc;
      if (assumed === undefined || !conflictHandler.isEqual(assumed, now, "satchel-pending")) count += 1;
    }
  }
}
