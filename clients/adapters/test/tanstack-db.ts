// TanStack DB as a device of the stories keeps it.
import { createCollection } from "@tanstack/db";
import { equal, mergeFields, mergePatched, type Json, type JsonObject } from "satchel-client";
import { openSatchel, Refused } from "../src/tanstack-db.js";
import type { Kit, Place } from "../../typescript/test/device.js";

type Note = { key: string } & JsonObject;

export async function open({ name, isPersistent, session, appId, onConflict, onRefused }: Place): Promise<Kit> {
  const satchel = openSatchel(session, appId, {
    cache: isPersistent ? "indexeddb" : "memory",
    onConflict: (base, mine, theirs, key) => {
      onConflict(key);
      return mergeFields(base, mine, theirs);
    },
  });
  const notes = createCollection(satchel.collection<Note>({ key: "key", id: name + crypto.randomUUID() }));
  await notes.preload();
  const watched = (key: string, { isPersisted }: { isPersisted: { promise: Promise<unknown> } }): void => {
    isPersisted.promise.catch((error) => error instanceof Refused && onRefused(key));
  };
  const replace = (key: string, value: Json): void =>
    watched(
      key,
      notes.update(key, (draft) => {
        const row = draft as JsonObject;
        for (const field of Object.keys(row)) if (field !== "key" && !(field in (value as JsonObject))) delete row[field];
        Object.assign(row, value);
      }),
    );
  const value = (key: string): Json => {
    const row = Object.entries(notes.get(key) as Note);
    return Object.fromEntries(row.filter(([name]) => name !== "key" && !name.startsWith("$"))); // TanStack's own
  };
  const contents = (): Record<string, Json> => Object.fromEntries([...notes.keys()].map((key) => [key, value(key)]));
  const kept = async (): Promise<Record<string, Json>> =>
    Object.fromEntries((await satchel.store.list()).map((entry) => [entry.key, entry.value]));
  return {
    put: async (key, value) => {
      if (notes.has(key)) replace(key, value);
      else watched(key, notes.insert({ ...(value as JsonObject), key } as Note));
    },
    patch: async (key, patch) => replace(key, mergePatched(value(key), patch)),
    delete: async (key) => watched(key, notes.delete(key)),
    contents: async () => contents(),
    version: async (key) => (await satchel.store.list(key))[0]?.version ?? 0,
    pending: () => satchel.store.pending(),
    flush: async () => {
      await satchel.store.flush();
      if (!equal(contents(), await kept())) throw new Error("not shown yet");
    },
    close: async () => {
      satchel.close();
      await notes.cleanup();
    },
  };
}
