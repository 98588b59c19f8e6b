/**
 * The records of a database's tables, as rows that say what each was made of.
 *
 * @packageDocumentation
 */
import type { Collection, Database, Model } from "@nozbe/watermelondb";
import { buildQueryDescription, oneOf, where } from "@nozbe/watermelondb/QueryDescription/index.js";
import { sanitizedRaw, type DirtyRaw } from "@nozbe/watermelondb/RawRecord/index.js";
import type { JsonObject } from "satchel-client";
import { isObject } from "../shared.js";
import type { Row } from "./steps.js";

export interface TableOptions {
  /** What the keys of the table's records begin with; the table's name and a colon if not said. */
  prefix?: string;
  /** The value that is stored, of the columns that are not null; the columns as they are if not said. */
  toValue?: (columns: JsonObject) => JsonObject;
  /** The columns of a value; its members of these names if not said. */
  toColumns?: (value: JsonObject) => JsonObject;
}

/** Where a record is. */
export interface Place {
  key: string;
  id: string;
  table: string;
}

const ABSENT: Row = { value: undefined, base: undefined, version: 0, isDirty: false };

/** The records of an app's tables. */
export class Records {
  readonly #database: Database;
  readonly #tables: Record<string, TableOptions>;
  readonly #prefixed: [string, { prefix: string }][];

  constructor(database: Database, tables: Record<string, TableOptions>) {
    this.#database = database;
    this.#tables = tables;
    this.#prefixed = Object.entries(tables).map(([table, { prefix = `${table}:` }]) => [table, { prefix }]);
  }

  /** Where the value of a key belongs; null where in none of the tables. */
  place(key: string): Place | null {
    const fits = this.#prefixed.filter(([, { prefix }]) => key.startsWith(prefix) && key.length > prefix.length);
    const [found] = fits.sort(([, one], [, other]) => other.prefix.length - one.prefix.length);
    return found === undefined ? null : { key, table: found[0], id: key.slice(found[1].prefix.length) };
  }

  /** Where records of these ids are, by table. */
  places(idsOf: (table: string) => string[]): Place[] {
    return this.#prefixed.flatMap(([table, { prefix }]) => idsOf(table).map((id) => ({ table, id, key: `${prefix}${id}` })));
  }

  /** Where all records are, those that were deleted here too. */
  async all(): Promise<Place[]> {
    const ids = new Map<string, string[]>();
    for (const table of Object.keys(this.#tables)) {
      ids.set(table, (await this.#raws(this.#database.get(table), [])).map(({ id }) => String(id)));
    }
    return this.places((table) => ids.get(table) ?? []);
  }

  /** How many have changes that are not known to be stored. */
  async pending(): Promise<number> {
    const counts = Object.keys(this.#tables).map(async (table) => {
      const gone = await this.#adapter.getDeletedRecords(table);
      const changed = await this.#database.get(table).query(where("_status", oneOf(["created", "updated"]))).fetchCount();
      return gone.length + changed;
    });
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  /** Remove them all. */
  async empty(): Promise<void> {
    await this.#database.write(async () => {
      for (const table of Object.keys(this.#tables)) await this.#empty(table);
    });
  }

  async #empty(table: string): Promise<void> {
    const records = await this.#database.get(table).query().fetch();
    await this.#database.batch(records.map((record) => record.prepareDestroyPermanently()));
    await this.#adapter.destroyDeletedRecords(table, await this.#adapter.getDeletedRecords(table));
  }

  /** Change records, each read and written anew in one transaction. */
  async apply(places: Place[], change: (row: Row, place: Place) => Row): Promise<void> {
    if (places.length === 0) return;
    await this.#database.write(async () => {
      const tables = new Set(places.map(({ table }) => table));
      for (const table of tables) await this.#write(table, places.filter((place) => place.table === table), change);
    });
  }

  async #write(table: string, places: Place[], change: (row: Row, place: Place) => Row): Promise<void> {
    const collection = this.#database.get(table);
    const ids = places.map(({ id }) => id);
    const raws = new Map((await this.#raws(collection, ids)).map((raw) => [String(raw["id"]), raw]));
    const records = new Map((await collection.query(where("id", oneOf(ids))).fetch()).map((record) => [record.id, record]));
    const batch: Model[] = [];
    const forgotten: string[] = [];
    const rewritten: DirtyRaw[] = [];
    for (const place of places) {
      const raw = raws.get(place.id);
      const before = raw === undefined ? ABSENT : this.#row(table, raw);
      const after = change(before, place);
      if (after === before) continue;
      const record = records.get(place.id);
      const next = this.#raw(collection, place.id, after, raw);
      const isGone = after.value === undefined && (after.base === undefined || !after.isDirty);
      if (record === undefined && raw !== undefined) {
        // it was deleted here
        if (after.value === undefined && !isGone) rewritten.push({ ...next, _status: "deleted" });
        else forgotten.push(place.id);
      }
      if (record !== undefined && isGone) batch.push(record.prepareDestroyPermanently());
      else if (record !== undefined && after.value === undefined) {
        record._raw = next;
        batch.push(record.prepareMarkAsDeleted());
        rewritten.push({ ...next, _status: "deleted" });
      } else if (record !== undefined) batch.push(record.prepareUpdate(() => (record._raw = next)));
      else if (after.value !== undefined) batch.push(collection.prepareCreateFromDirtyRaw(next));
    }
    if (forgotten.length > 0) await this.#adapter.destroyDeletedRecords(table, forgotten);
    await this.#database.batch(batch);
    const updates = rewritten.map((raw) => ["update", table, raw] as const);
    if (updates.length > 0) await this.#adapter.batch(updates as never);
  }

  /** Those that were deleted here, too; all where no ids are given. */
  async #raws(collection: Collection<Model>, ids: string[]): Promise<DirtyRaw[]> {
    const query = collection.query();
    query.description = buildQueryDescription(ids.length === 0 ? [] : [where("id", oneOf(ids))]);
    const raws = (await query.unsafeFetchRaw()) as DirtyRaw[];
    return raws.map((raw) => sanitizedRaw(raw, collection.schema));
  }

  #row(table: string, raw: DirtyRaw): Row {
    const { id: _id, _status, _changed, satchel_version: version, satchel_base: kept, ...columns } = raw;
    const { toValue = same } = this.#tables[table] ?? {};
    const base = typeof kept === "string" ? (JSON.parse(kept) as JsonObject) : undefined;
    const mine = toValue(withoutNulls(columns as JsonObject));
    // what this version of the app has no column for stays as it is
    const known = base === undefined ? {} : this.#here(table, base);
    const foreign = Object.entries(base ?? {}).filter(([name]) => !(name in known));
    const value = _status === "deleted" ? undefined : { ...Object.fromEntries(foreign), ...mine };
    return {
      value,
      base: base === undefined ? undefined : { ...Object.fromEntries(foreign), ...known },
      version: Number(version ?? 0),
      isDirty: _status !== "synced",
    };
  }

  /** A value as it comes back from the columns of this app. */
  #here(table: string, value: JsonObject): JsonObject {
    const { toValue = same, toColumns = same } = this.#tables[table] ?? {};
    const { id: _id, _status, _changed, satchel_version: _version, satchel_base: _base, ...columns } = sanitizedRaw(
      { ...toColumns(value), id: "here" },
      this.#database.get(table).schema,
    ) as DirtyRaw;
    return toValue(withoutNulls(columns as JsonObject));
  }

  #raw(collection: Collection<Model>, id: string, row: Row, before: DirtyRaw | undefined): DirtyRaw & Model["_raw"] {
    const { toColumns = same } = this.#tables[collection.table] ?? {};
    const status = !row.isDirty ? "synced" : row.base === undefined ? "created" : "updated";
    const columns = isObject(row.value) ? toColumns(row.value) : (before ?? {});
    const kept = { satchel_version: row.version, satchel_base: row.base === undefined ? null : JSON.stringify(row.base) };
    const marks = { id, _status: status, _changed: row.isDirty ? String(before?.["_changed"] ?? "") : "" };
    return sanitizedRaw({ ...columns, ...kept, ...marks }, collection.schema);
  }

  get #adapter(): Database["adapter"] {
    return this.#database.adapter;
  }
}

function withoutNulls(columns: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== null));
}

function same(columns: JsonObject): JsonObject {
  return columns;
}
