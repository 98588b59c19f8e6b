/**
 * WatermelonDB over Satchel: tables that are kept in step with an app's data, by `synchronize()`.
 *
 * A record is the value under the key prefix + id: its columns, but for those that are null. Two columns of each table
 * keep what it was made of: `satchel_version` and `satchel_base`.
 *
 * @packageDocumentation
 */
import type { Collection, Database, Model } from "@nozbe/watermelondb";
import { buildQueryDescription, oneOf, where } from "@nozbe/watermelondb/QueryDescription/index.js";
import { sanitizedRaw, type DirtyRaw } from "@nozbe/watermelondb/RawRecord/index.js";
import { hasUnsyncedChanges, synchronize, type SyncPushArgs, type SyncPushResult, type SyncTableChangeSet } from "@nozbe/watermelondb/sync/index.js";
import {
  equal,
  Remote,
  type Changes,
  type Json,
  type JsonObject,
  type OnConflict,
  type Refusal,
  type Session,
  type Write,
  type Written,
} from "satchel-client";
import { AnotherPerson, fieldsOf, isObject, pageAfter } from "./shared.js";

export { AnotherPerson };

/** What the schema of each table has besides the app's own columns. */
export const SATCHEL_COLUMNS = [
  { name: "satchel_version", type: "number", isOptional: true },
  { name: "satchel_base", type: "string", isOptional: true },
] as const;

export interface TableOptions {
  /** What the keys of the table's records begin with; the table's name and a colon if not said. */
  prefix?: string;
  /** The value that is stored, of the columns that are not null; the columns as they are if not said. */
  toValue?: (columns: JsonObject) => JsonObject;
  /** The columns of a value; its members of these names if not said. */
  toColumns?: (value: JsonObject) => JsonObject;
}

export interface SyncOptions {
  database: Database;
  session: Session;
  appId: string;
  tables: Record<string, TableOptions>;
  /** Decides what becomes of a record that was changed here and elsewhere; `mergeFields` suits many. */
  onConflict: OnConflict;
  onRefused?: (refusal: Refusal) => void;
  /** Told what failed; it is tried again. */
  onError?: (error: unknown) => void;
}

/** What keeps a database in step. */
export interface SatchelSync {
  /** Fetch what is new and send what waits, now. */
  sync(): Promise<void>;
  /** How many records have changes that are not known to be stored. */
  pending(): Promise<number>;
  close(): void;
}

/** One record: what is seen, and what it was made of. `undefined` is no value; a deletion that waits is a value less. */
interface Row {
  value: Json | undefined;
  base: Json | undefined;
  version: number;
  isDirty: boolean;
}

interface Place {
  key: string;
  id: string;
  table: string;
}

/** What was sent and has no answer yet. */
type Sent = Place & { write: Write };

const ABSENT: Row = { value: undefined, base: undefined, version: 0, isDirty: false };
const OWNER = "satchel_owner";
const CURSOR = "satchel_cursor";
const SENT = "satchel_sent";
const ROUNDS = 10;
const SOON = 50;
const SHORTEST = 500;
const LONGEST = 30_000;

/**
 * Keep a database in step with the person's data of an app, until it is closed or somebody else signs in.
 *
 * @throws SignedOut, AnotherPerson
 */
export async function syncSatchel(options: SyncOptions): Promise<SatchelSync> {
  const sync = new Sync(options);
  await sync.start();
  return sync;
}

class Sync implements SatchelSync {
  readonly #options: SyncOptions;
  readonly #database: Database;
  readonly #remote: Remote;
  readonly #end = new AbortController();
  #round: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #looksAgain = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: SyncOptions) {
    this.#options = options;
    this.#database = options.database;
    this.#remote = new Remote(options.session, options.appId);
  }

  async start(): Promise<void> {
    const { localStorage } = this.#database;
    const { userId } = this.#remote;
    const owner = await localStorage.get<string>(OWNER as never);
    if (owner !== undefined && owner !== userId) throw new AnotherPerson("this database keeps another person's data");
    await localStorage.set(OWNER as never, userId);
    const { session, tables } = this.#options;
    const forget = [
      session.welcome({ unsent: () => this.#unsent(), leave: () => this.#leave() }),
      session.onChange((now) => now !== null && now !== userId && this.close()),
    ];
    const changes = this.#database.withChangesForTables(Object.keys(tables)).subscribe(() => this.#edited());
    this.#end.signal.addEventListener("abort", () => {
      changes.unsubscribe();
      for (const each of forget) each();
    });
    void this.#remote.follow(() => this.#soon(0), this.#end.signal);
  }

  close(): void {
    this.#end.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** One at a time; what is asked for while one is under way is done by the next. */
  async sync(): Promise<void> {
    if (this.#round !== null) {
      this.#next ??= this.#round.catch(() => null).then(() => {
        this.#next = null;
        return this.sync();
      });
      return await this.#next;
    }
    this.#round = this.#rounds().finally(() => {
      this.#round = null;
    });
    await this.#round;
  }

  async pending(): Promise<number> {
    const counts = Object.keys(this.#options.tables).map(async (table) => {
      const gone = await this.#adapter.getDeletedRecords(table);
      const changed = await this.#database.get(table).query(where("_status", oneOf(["created", "updated"]))).fetchCount();
      return gone.length + changed;
    });
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  // When.

  #edited(): void {
    if (this.#round === null) {
      void hasUnsyncedChanges({ database: this.#database }).then((has) => has && this.#soon(SOON), () => null);
    } else if (!this.#looksAgain) {
      this.#looksAgain = true;
      void this.#round.catch(() => null).then(() => {
        this.#looksAgain = false;
        this.#edited();
      });
    }
  }

  #soon(milliseconds: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#end.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.sync().then(
        () => (this.#failures = 0),
        (error: unknown) => this.#failed(error),
      );
    }, milliseconds);
  }

  #failed(error: unknown): void {
    if (this.#end.signal.aborted) return;
    this.#options.onError?.(error);
    const longest = Math.min(LONGEST, SHORTEST * 2 ** this.#failures++);
    this.#soon(longest * (0.5 + Math.random() / 2));
  }

  async #rounds(): Promise<void> {
    for (let round = 0; round < ROUNDS; round++) {
      await synchronize({
        database: this.#database,
        sendCreatedAsUpdated: true,
        pullChanges: async ({ lastPulledAt }) => {
          await this.#resend();
          await this.#pull();
          return { changes: {}, timestamp: (lastPulledAt ?? 0) + 1 }; // they are there already, by version
        },
        pushChanges: (args) => this.#push(args),
      });
      if ((await this.pending()) === 0) return;
    }
  }

  // From the server.

  async #pull(): Promise<void> {
    const { localStorage } = this.#database;
    let cursor = (await localStorage.get<string>(CURSOR as never)) ?? null;
    let listed: Set<string> | null = cursor === null ? new Set() : null;
    for (let more = true; more; ) {
      const page = await pageAfter(this.#remote, cursor);
      if (page === null) {
        cursor = null;
        listed = new Set();
        continue;
      }
      for (const { dataKey } of page.changes) listed?.add(dataKey);
      await this.#hear(page);
      ({ cursor, more } = page);
      // a listing that is broken off begins anew, or what it lacks would be kept
      if (!more && listed !== null) await this.#unlisted(listed);
      if (!more || listed === null) await localStorage.set(CURSOR as never, cursor);
    }
  }

  async #hear({ changes }: Changes): Promise<void> {
    const told = changes.flatMap((change) => {
      const place = this.#place(change.dataKey);
      return place === null ? [] : [{ place, value: fieldsOf(change), version: change.version }];
    });
    await this.#tell(told.map(({ place, value, version }) => [place, (row) => heard(row, value, version)]));
  }

  /** What a listing of everything lacks is gone, but for what was never sent. */
  async #unlisted(listed: Set<string>): Promise<void> {
    for (const [table, { prefix }] of this.#tables()) {
      const raws = await this.#raws(this.#database.get(table), []);
      const gone = raws.map(({ id }) => ({ table, id: String(id), key: `${prefix}${id}` })).filter(({ key }) => !listed.has(key));
      await this.#tell(gone.map((place) => [place, (row) => heard(row, undefined, Number.MAX_SAFE_INTEGER)]));
    }
  }

  // To the server.

  async #push(args: SyncPushArgs): Promise<SyncPushResult> {
    const changes = args.changes as Record<string, SyncTableChangeSet>;
    const places = this.#tables().flatMap(([table, { prefix }]) => {
      const { created, updated, deleted } = changes[table] ?? { created: [], updated: [], deleted: [] };
      const ids = [...[...created, ...updated].map((raw) => String(raw["id"])), ...deleted];
      return ids.map((id) => ({ table, id, key: `${prefix}${id}` }));
    });
    const sent: Sent[] = [];
    // what is as it is stored need not be sent
    await this.#apply(places, (row, place) => {
      if (equal(row.value, row.base)) return { ...row, isDirty: false };
      sent.push({ ...place, write: writeOf(place.key, row) });
      return row;
    });
    await this.#send(sent);
    const mine = Object.keys(changes).filter((table) => table in this.#options.tables);
    // each was marked already, by what came of it
    return { experimentalRejectedIds: Object.fromEntries(mine.map((table) => [table, places.map(({ id }) => id)])) };
  }

  async #send(sent: Sent[]): Promise<void> {
    if (sent.length === 0) return;
    await this.#database.localStorage.set(SENT as never, sent); // after a restart it is sent again as it was
    await this.#answered(sent, await this.#remote.send(sent.map(({ write }) => write)));
  }

  /** What has no answer is sent once more before anything else: what comes may be one's own. */
  async #resend(): Promise<void> {
    const sent = (await this.#database.localStorage.get<Sent[]>(SENT as never)) ?? [];
    if (sent.length > 0) await this.#answered(sent, await this.#remote.send(sent.map(({ write }) => write)));
  }

  async #answered(sent: Sent[], written: Written[]): Promise<void> {
    const told = sent.map((each, place): [Place, Step] => [each, this.#answer(each, written[place] as Written)]);
    await this.#tell(told);
    for (const [place, result] of written.entries()) {
      const { key, write } = sent[place] as Sent;
      if (result.status === "invalid") this.#options.onRefused?.({ key, value: contentOf(write), errors: result.errors });
    }
    await this.#database.localStorage.remove(SENT as never);
  }

  #answer({ write }: Sent, result: Written): Step {
    if (result.status === "stored") return (row) => settled(row, contentOf(write), result.version);
    const theirs = result.current === null ? undefined : fieldsOf(result.current);
    const version = result.current?.version ?? 0;
    if (result.status === "conflict") return (row) => rebased(row, theirs, version);
    return (row) => refused(row, contentOf(write), theirs, version);
  }

  // Rows, each read and written anew in one transaction.

  /** Take each record a step further; where that is a conflict, ask, and again where it was changed meanwhile. */
  async #tell(steps: [Place, Step][]): Promise<void> {
    const byKey = new Map(steps.map(([place, step]) => [place.key, step]));
    const conflicts: [Place, Row, Conflict][] = [];
    await this.#apply(steps.map(([place]) => place), (row, place) => {
      const next = (byKey.get(place.key) as Step)(row);
      if (!("theirs" in next)) return next;
      conflicts.push([place, row, next]);
      return row;
    });
    const decided = await Promise.all(conflicts.map((conflict) => this.#decide(...conflict)));
    if (decided.length > 0) await this.#tell(decided);
  }

  async #decide(place: Place, asked: Row, { theirs, version }: Conflict): Promise<[Place, Step]> {
    const value = await this.#options.onConflict(asked.base, asked.value, theirs, place.key);
    return [
      place,
      (row) => {
        if (!row.isDirty || !equal(row.value, asked.value)) return rebased(row, theirs, version);
        return { value, base: theirs, version: theirs === undefined ? 0 : version, isDirty: !equal(value, theirs) };
      },
    ];
  }

  async #apply(places: Place[], change: (row: Row, place: Place) => Row): Promise<void> {
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
    const { toValue = same } = this.#options.tables[table] ?? {};
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
    const { toValue = same, toColumns = same } = this.#options.tables[table] ?? {};
    const { id: _id, _status, _changed, satchel_version: _version, satchel_base: _base, ...columns } = sanitizedRaw(
      { ...toColumns(value), id: "here" },
      this.#database.get(table).schema,
    ) as DirtyRaw;
    return toValue(withoutNulls(columns as JsonObject));
  }

  #raw(collection: Collection<Model>, id: string, row: Row, before: DirtyRaw | undefined): DirtyRaw & Model["_raw"] {
    const { toColumns = same } = this.#options.tables[collection.table] ?? {};
    const status = !row.isDirty ? "synced" : row.base === undefined ? "created" : "updated";
    const columns = isObject(row.value) ? toColumns(row.value) : (before ?? {});
    const kept = { satchel_version: row.version, satchel_base: row.base === undefined ? null : JSON.stringify(row.base) };
    const marks = { id, _status: status, _changed: row.isDirty ? String(before?.["_changed"] ?? "") : "" };
    return sanitizedRaw({ ...columns, ...kept, ...marks }, collection.schema);
  }

  // Where records are.

  #tables(): [string, { prefix: string }][] {
    return Object.entries(this.#options.tables).map(([table, { prefix = `${table}:` }]) => [table, { prefix }]);
  }

  #place(key: string): Place | null {
    const fits = this.#tables().filter(([, { prefix }]) => key.startsWith(prefix) && key.length > prefix.length);
    const [found] = fits.sort(([, one], [, other]) => other.prefix.length - one.prefix.length);
    return found === undefined ? null : { key, table: found[0], id: key.slice(found[1].prefix.length) };
  }

  get #adapter(): Database["adapter"] {
    return this.#database.adapter;
  }

  // Signing out.

  async #unsent(): Promise<number> {
    await this.sync().catch(() => null);
    return await this.pending();
  }

  async #leave(): Promise<void> {
    this.close();
    await this.#round?.catch(() => null);
    const { localStorage } = this.#database;
    for (const kept of [CURSOR, SENT]) await localStorage.remove(kept as never); // first: without it all is fetched anew
    await this.#database.write(async () => {
      for (const table of Object.keys(this.#options.tables)) await this.#empty(table);
    });
    await localStorage.remove(OWNER as never);
  }

  async #empty(table: string): Promise<void> {
    const records = await this.#database.get(table).query().fetch();
    await this.#database.batch(records.map((record) => record.prepareDestroyPermanently()));
    await this.#adapter.destroyDeletedRecords(table, await this.#adapter.getDeletedRecords(table));
  }
}

/** A record was changed here, and is something else at the server. */
interface Conflict {
  theirs: Json | undefined;
  version: number;
}

type Step = (row: Row) => Row | Conflict;

/** The row after what the server told of it; older news are no news. */
function heard(row: Row, theirs: Json | undefined, version: number): Row | Conflict {
  if (row.base === undefined && theirs === undefined) return row;
  if (row.base !== undefined && version <= row.version) return row;
  return rebased(row, theirs, version);
}

/** The row, made of what is stored now; a conflict where that cannot be without asking. */
function rebased(row: Row, theirs: Json | undefined, version: number): Row | Conflict {
  if (!row.isDirty || equal(row.value, theirs)) return { value: theirs, base: theirs, version, isDirty: false };
  if (row.base !== undefined && equal(row.base, theirs)) return { ...row, version };
  return { theirs, version };
}

/** The row after its change was stored; a later one is still to be sent. */
function settled(row: Row, sent: Json | undefined, version: number): Row {
  return { ...row, base: sent, version, isDirty: !equal(row.value, sent) };
}

/** The row after its change was refused for good; a later one is still to be sent. */
function refused(row: Row, sent: Json | undefined, theirs: Json | undefined, version: number): Row {
  if (equal(row.value, sent)) return { value: theirs, base: theirs, version, isDirty: false };
  return { ...row, base: theirs, version };
}

function writeOf(dataKey: string, { value, base, version }: Row): Write {
  const head = { dataKey, ifVersion: base === undefined ? 0 : version, mutationId: crypto.randomUUID() };
  return value === undefined ? { ...head, delete: true } : { ...head, value };
}

function contentOf(write: Write): Json | undefined {
  return "value" in write ? write.value : undefined;
}

function withoutNulls(columns: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== null));
}

function same(columns: JsonObject): JsonObject {
  return columns;
}
