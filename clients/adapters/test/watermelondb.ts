// WatermelonDB as a device of the stories keeps it: by LokiJS, in IndexedDB where it is to survive a restart.
import { appSchema, Database, Model, tableSchema } from "@nozbe/watermelondb";
import lokijs from "@nozbe/watermelondb/adapters/lokijs/index.js";
import { mergeFields, mergePatched, type Json, type JsonObject } from "satchel-client";
import { SATCHEL_COLUMNS, syncSatchel } from "../src/watermelondb.js";
import type { Kit, Place } from "../../typescript/test/device.js";

const LokiJSAdapter = lokijs.default;

class Note extends Model {
  static override table = "notes";
}

/** Each column keeps the JSON of one member, so that the stories may store what they like. */
const NAMES = ["title", "body", "done", "a", "b", "edit", "place"];
const columns = NAMES.map((name) => ({ name, type: "string", isOptional: true }) as const);
const schema = appSchema({ version: 1, tables: [tableSchema({ name: "notes", columns: [...columns, ...SATCHEL_COLUMNS] })] });

const toValue = (raw: JsonObject): JsonObject => mapped(raw, (text) => JSON.parse(text as string) as Json);
const toColumns = (value: JsonObject): JsonObject => mapped(value, (member) => JSON.stringify(member));

function mapped(from: JsonObject, change: (member: Json) => Json): JsonObject {
  return Object.fromEntries(Object.entries(from).map(([name, member]) => [name, change(member)]));
}

export async function open({ name, isPersistent, session, appId, onConflict, onRefused }: Place): Promise<Kit> {
  const adapter = new LokiJSAdapter({
    schema,
    dbName: name,
    useWebWorker: false,
    useIncrementalIndexedDB: isPersistent,
    extraLokiOptions: { autosave: true, autosaveInterval: 50 },
  });
  const database = new Database({ adapter, modelClasses: [Note] });
  const notes = database.get<Note>("notes");
  const satchel = await syncSatchel({
    database,
    session,
    appId,
    tables: { notes: { prefix: "", toValue, toColumns } },
    onConflict: (base, mine, theirs, key) => {
      onConflict(key);
      return mergeFields(base, mine, theirs);
    },
    onRefused: ({ key }) => onRefused(key),
  });
  const valueOf = (record: Note): JsonObject => {
    const raw = record._raw as unknown as JsonObject;
    return toValue(Object.fromEntries(NAMES.filter((each) => raw[each] !== null).map((each) => [each, raw[each] as Json])));
  };
  const fill = (record: Note, value: Json): void => {
    const filled = toColumns(value as JsonObject);
    for (const each of NAMES) record._setRaw(each, (filled[each] ?? null) as string | null);
  };
  const found = async (key: string): Promise<Note | null> => (await notes.find(key).catch(() => null)) as Note | null;
  return {
    put: (key, value) =>
      database.write(async () => {
        const record = await found(key);
        if (record !== null) await record.update(() => fill(record, value));
        else
          await notes.create((made) => {
            made._raw.id = key;
            fill(made, value);
          });
      }),
    patch: (key, patch) =>
      database.write(async () => {
        const record = await notes.find(key);
        await record.update(() => fill(record, mergePatched(valueOf(record), patch)));
      }),
    delete: (key) => database.write(async () => await (await notes.find(key)).markAsDeleted()),
    contents: async () => Object.fromEntries((await notes.query().fetch()).map((record) => [record.id, valueOf(record)])),
    version: async (key) => Number(((await notes.find(key))._raw as unknown as JsonObject)["satchel_version"]),
    pending: () => satchel.pending(),
    flush: async () => {
      await satchel.sync();
      if ((await satchel.pending()) > 0) throw new Error("something waits");
    },
    close: async () => {
      satchel.close();
      await saved(adapter);
    },
  };
}

/** A browser's page saves twice a second; a story does not wait for that. */
async function saved(adapter: InstanceType<typeof LokiJSAdapter>): Promise<void> {
  const { loki } = (adapter as unknown as { _driver: { loki: { saveDatabase(done: (error?: unknown) => void): void } } })._driver;
  await new Promise<void>((resolve, reject) => loki.saveDatabase((error) => (error == null ? resolve() : reject(error as Error))));
}
