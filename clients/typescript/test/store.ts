// The client's own store as a device of the scenarios keeps it.
import { mergeFields, openStore, type Json } from "../src/index.js";
import type { Kit, Place } from "./device.js";

export async function open({ isPersistent, session, appId, onConflict, onRefused }: Place): Promise<Kit> {
  const store = openStore(session, appId, {
    cache: isPersistent ? "indexeddb" : "memory",
    onConflict: (base, mine, theirs, key) => {
      onConflict(key);
      return mergeFields(base, mine, theirs);
    },
    onRefused: ({ key }) => onRefused(key),
  });
  return {
    put: (key, value) => store.put(key, value),
    patch: (key, patch) => store.patch(key, patch),
    delete: (key) => store.delete(key),
    contents: async (): Promise<Record<string, Json>> =>
      Object.fromEntries((await store.list()).map((entry) => [entry.key, entry.value])),
    version: async (key) => (await store.list(key))[0]?.version ?? 0,
    pending: () => store.pending(),
    flush: () => store.flush(),
    close: async () => store.close(),
  };
}
