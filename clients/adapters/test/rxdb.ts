// RxDB as a device of the stories keeps it: in memory, or in IndexedDB where it is to survive a restart.
import { createRxDatabase, type RxCollection, type RxJsonSchema, type RxStorage } from "rxdb/plugins/core";
import { getRxStorageDexie } from "rxdb/plugins/storage-dexie";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import { firstValueFrom } from "rxjs";
import { mergeFields, mergePatched, type Json, type JsonObject } from "satchel-client";
import { pending, replicateSatchel, satchelCollection } from "../src/rxdb.js";
import type { Kit, Place } from "../../typescript/test/device.js";

const schema: RxJsonSchema<JsonObject> = {
  version: 0,
  primaryKey: "key",
  type: "object",
  properties: { key: { type: "string", maxLength: 256 } },
};

export async function open({ name, isPersistent, session, appId, network, onConflict, onRefused }: Place): Promise<Kit> {
  const storage = (isPersistent ? getRxStorageDexie() : getRxStorageMemory()) as RxStorage<unknown, unknown>;
  const database = await createRxDatabase({ name: `d${name.replaceAll("-", "")}`, storage, multiInstance: "document" in globalThis });
  const { notes } = await database.addCollections<{ notes: never }>({
    notes: satchelCollection({ schema }, (base, mine, theirs, key) => {
      onConflict(key);
      return mergeFields(base, mine, theirs);
    }) as never,
  });
  const collection = notes as RxCollection<JsonObject>;
  const replication = await replicateSatchel({
    collection,
    session,
    appId,
    onRefused: ({ key }) => onRefused(key),
    retryTime: 50,
  });
  const failed = (): Promise<never> => firstValueFrom(replication.error$).then((error) => Promise.reject(error as Error));
  return {
    put: async (key, value) => {
      await collection.upsert({ ...(value as JsonObject), key });
    },
    patch: async (key, patch) => {
      const doc = await collection.findOne(key).exec(true);
      await doc.incrementalModify((value) => mergePatched(value as Json, patch) as never);
    },
    delete: async (key) => {
      await (await collection.findOne(key).exec(true)).incrementalRemove();
    },
    contents: async () => {
      const docs = (await collection.find().exec()).map((doc) => doc.toJSON() as JsonObject);
      return Object.fromEntries(docs.map(({ key, satchelVersion: _, ...value }) => [key as string, value]));
    },
    version: async (key) => Number((await collection.findOne(key).exec(true)).toJSON()["satchelVersion"]),
    pending: () => pending(replication as never),
    flush: async () => {
      const failure = failed();
      failure.catch(() => null);
      await Promise.race([network.heard(() => replication.reSync()), failure]);
      await Promise.race([replication.awaitInSync(), failure]);
      if ((await pending(replication as never)) > 0) throw new Error("something waits");
    },
    close: async () => {
      await database.close();
    },
  };
}
