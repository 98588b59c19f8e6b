/**
 * WatermelonDB over Satchel: tables that are kept in step with an app's data, by `synchronize()`.
 *
 * A record is the value under the key prefix + id: its columns, but for those that are null. Two columns of each table
 * keep what it was made of: `satchel_version` and `satchel_base`.
 *
 * @packageDocumentation
 */
import type { Database } from "@nozbe/watermelondb";
import { hasUnsyncedChanges, synchronize, type SyncPushArgs, type SyncPushResult, type SyncTableChangeSet } from "@nozbe/watermelondb/sync/index.js";
import {
  equal,
  Remote,
  type Changes,
  type OnConflict,
  type Refusal,
  type Session,
  type Write,
  type Written,
} from "satchel-client";
import { AnotherPerson, fieldsOf, pageAfter } from "./shared.js";
import { Records, type Place, type TableOptions } from "./watermelondb/records.js";
import { contentOf, heard, rebased, refused, settled, writeOf, type Conflict, type Row, type Step } from "./watermelondb/steps.js";

export { AnotherPerson, type TableOptions };

/** What the schema of each table has besides the app's own columns. */
export const SATCHEL_COLUMNS = [
  { name: "satchel_version", type: "number", isOptional: true },
  { name: "satchel_base", type: "string", isOptional: true },
] as const;

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

/** What was sent and has no answer yet. */
type Sent = Place & { write: Write };

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
  readonly #records: Records;
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
    this.#records = new Records(options.database, options.tables);
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
    return await this.#records.pending();
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
      const place = this.#records.place(change.dataKey);
      return place === null ? [] : [{ place, value: fieldsOf(change), version: change.version }];
    });
    await this.#tell(told.map(({ place, value, version }) => [place, (row) => heard(row, value, version)]));
  }

  /** What a listing of everything lacks is gone, but for what was never sent. */
  async #unlisted(listed: Set<string>): Promise<void> {
    const gone = (await this.#records.all()).filter(({ key }) => !listed.has(key));
    await this.#tell(gone.map((place) => [place, (row) => heard(row, undefined, Number.MAX_SAFE_INTEGER)]));
  }

  // To the server.

  async #push(args: SyncPushArgs): Promise<SyncPushResult> {
    const changes = args.changes as Record<string, SyncTableChangeSet>;
    const places = this.#records.places((table) => {
      const { created, updated, deleted } = changes[table] ?? { created: [], updated: [], deleted: [] };
      return [...[...created, ...updated].map((raw) => String(raw["id"])), ...deleted];
    });
    const sent: Sent[] = [];
    // what is as it is stored need not be sent
    await this.#records.apply(places, (row, place) => {
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

  /** Take each record a step further; where that is a conflict, ask, and again where it was changed meanwhile. */
  async #tell(steps: [Place, Step][]): Promise<void> {
    const byKey = new Map(steps.map(([place, step]) => [place.key, step]));
    const conflicts: [Place, Row, Conflict][] = [];
    await this.#records.apply(steps.map(([place]) => place), (row, place) => {
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
    await this.#records.empty();
    await localStorage.remove(OWNER as never);
  }
}

