/**
 * RxDB over Satchel: a collection that is kept in step with an app's data, by RxDB's own replication.
 *
 * A document is the value under the key `prefix` + primary key; the field `satchelVersion` keeps the version it is of.
 *
 * @packageDocumentation
 */
import {
  addRxPlugin,
  type ReplicationPullHandlerResult,
  type RxCollection,
  type RxReplicationWriteToMasterRow,
} from "rxdb/plugins/core";
import { RxDBLocalDocumentsPlugin } from "rxdb/plugins/local-documents";
import { replicateRxCollection, type RxReplicationState } from "rxdb/plugins/replication";
import { firstValueFrom, Subject } from "rxjs";
import {
  Remote,
  type Changes,
  type JsonObject,
  type Live,
  type Refusal,
  type Session,
  type Write,
  type Written,
} from "satchel-client";
import { TOLD, type Told } from "./rxdb/collection.js";
import { bare, isDocument, same, versioned, type Doc } from "./rxdb/documents.js";
import { pending, type Checkpoint } from "./rxdb/pending.js";
import { AnotherPerson, pageAfter } from "./shared.js";

export { satchelCollection } from "./rxdb/collection.js";
export type { Versioned } from "./rxdb/documents.js";
export { AnotherPerson, pending };

addRxPlugin(RxDBLocalDocumentsPlugin);

export interface ReplicateOptions<T> {
  /** Made with `satchelCollection`. */
  collection: RxCollection<T>;
  session: Session;
  appId: string;
  /** What the keys of this collection begin with, where an app has several: `"note."`. */
  prefix?: string;
  onRefused?: (refusal: Refusal) => void;
  /** Milliseconds until what failed is tried again; 5,000 if not said. */
  retryTime?: number;
  /** Whether only one of several tabs replicates; yes if not said. */
  waitForLeadership?: boolean;
}

type Row = RxReplicationWriteToMasterRow<Doc>;

/** What was sent of one document, and the version it was stored under; none while the answer is not known. */
interface Sent {
  state: Doc;
  mutationId: string;
  ifVersion: number;
  version?: number;
}

/** A document that is being sent. */
interface Sending {
  key: string;
  row: Row;
  base: Doc | undefined;
  before: Sent | undefined;
  sent: Sent;
}

const PAGE = 100;
const KEPT = "satchel";
const PATIENCE = 10_000;

/**
 * Keep a collection in step with the person's data of an app: RxDB's own replication, started.
 *
 * @throws SignedOut, AnotherPerson
 */
export async function replicateSatchel<T>(options: ReplicateOptions<T>): Promise<RxReplicationState<T, Checkpoint>> {
  const replication = new Replication(options as unknown as ReplicateOptions<Doc>);
  return (await replication.start()) as unknown as RxReplicationState<T, Checkpoint>;
}

class Replication {
  readonly #options: ReplicateOptions<Doc>;
  readonly #collection: RxCollection<Doc>;
  readonly #remote: Remote;
  readonly #prefix: string;
  readonly #primary: string;
  readonly #told: Told;
  readonly #state: RxReplicationState<Doc, Checkpoint>;
  readonly #sent = new Map<string, Sent>();
  #turn: Promise<unknown> = Promise.resolve();
  /** The listing of everything that is under way, and what it has shown. */
  #listing: { id: string; seen: Set<string> } | null = null;
  /** RxDB keeps no checkpoint of a page without documents. */
  #ahead: { from: string; cursor: string } | null = null;

  constructor(options: ReplicateOptions<Doc>) {
    const { collection, session, appId, prefix = "" } = options;
    const told = TOLD.get(collection.conflictHandler);
    if (told === undefined) throw new TypeError("make the collection with satchelCollection()");
    this.#options = options;
    this.#collection = collection;
    this.#remote = new Remote(session, appId, prefix);
    this.#prefix = prefix;
    this.#primary = collection.schema.primaryPath;
    this.#told = told;
    this.#state = this.#replicate(`satchel:${session.url}:${this.#remote.userId}:${appId}:${prefix}`);
  }

  #replicate(name: string): RxReplicationState<Doc, Checkpoint> {
    const stream$ = new Subject<"RESYNC">();
    const state = replicateRxCollection<Doc, Checkpoint>({
      collection: this.#collection,
      replicationIdentifier: name,
      retryTime: this.#options.retryTime ?? 5_000,
      waitForLeadership: this.#options.waitForLeadership ?? true,
      autoStart: false,
      pull: { handler: (checkpoint) => this.#pull(checkpoint), batchSize: PAGE, stream$ },
      push: { handler: (rows) => this.#inTurn(() => this.#push(rows)), batchSize: PAGE },
    });
    void state.startPromise.then(() => this.#listen(stream$));
    state.received$.subscribe((doc) => this.#noted(doc));
    return state;
  }

  async start(): Promise<RxReplicationState<Doc, Checkpoint>> {
    const { session, waitForLeadership = true } = this.#options;
    await this.#recall();
    this.#state.onCancel.push(
      session.welcome({ unsent: () => this.#unsent(), leave: () => this.#leave() }),
      // a session that has ended may go on; that of somebody else may not
      session.onChange((now) => now !== null && now !== this.#remote.userId && void this.#state.cancel()),
    );
    const { database } = this.#collection;
    const leads = waitForLeadership && database.multiInstance ? database.waitForLeadership() : Promise.resolve();
    void Promise.resolve(leads).then(() => this.#state.start().catch(() => null)); // `error$` tells
    return this.#state;
  }

  #listen(stream$: Subject<"RESYNC">): void {
    const end = new AbortController();
    this.#state.onCancel.push(() => end.abort());
    void this.#remote.follow(() => stream$.next("RESYNC"), end.signal);
  }

  // From the server.

  /** RxDB ends at a page that is shorter than it asked for: this one has as many, or there are no more. */
  async #pull(checkpoint: Checkpoint | undefined): Promise<ReplicationPullHandlerResult<Doc, Checkpoint>> {
    const found = new Map<string, Doc>();
    let cursor = this.#resume(checkpoint ?? null);
    for (let more = true; more && found.size < PAGE; ) {
      const page = await pageAfter(this.#remote, cursor, PAGE);
      if (page === null) {
        cursor = null;
        found.clear();
        this.#listing = { id: crypto.randomUUID(), seen: new Set() };
        continue;
      }
      await this.#read(page, found);
      ({ cursor, more } = page);
      if (!more) await this.#listed(found);
    }
    const next = { cursor: cursor ?? "", listing: this.#listing?.id ?? null };
    if (found.size === 0 && checkpoint !== undefined) this.#ahead = { from: checkpoint.cursor, cursor: next.cursor };
    return { documents: [...found.values()], checkpoint: next };
  }

  /** Where to go on; a listing of which this process has not seen the beginning begins again. */
  #resume(checkpoint: Checkpoint | null): string | null {
    if (checkpoint === null) return null;
    if (checkpoint.listing !== null && checkpoint.listing !== this.#listing?.id) {
      this.#listing = { id: crypto.randomUUID(), seen: new Set() };
      return null;
    }
    return this.#ahead?.from === checkpoint.cursor ? this.#ahead.cursor : checkpoint.cursor;
  }

  async #read({ changes }: Changes, found: Map<string, Doc>): Promise<void> {
    const keyed = changes.map((change) => [change.dataKey.slice(this.#prefix.length), change] as const);
    const gone = keyed.filter(([, change]) => !isDocument(change));
    const here = await this.#collection.findByIds(gone.map(([key]) => key)).exec();
    for (const [key, change] of keyed) {
      this.#listing?.seen.add(key);
      if (isDocument(change)) {
        found.set(key, this.#document(key, change));
        continue;
      }
      const before = found.get(key) ?? (here.get(key)?.toMutableJSON() as Doc | undefined); // schemas see it too
      if (before !== undefined) found.set(key, { ...before, ...versioned(change.version), _deleted: true });
    }
  }

  /** At the end of a listing of everything: what it has not shown is gone. RxDB leaves alone what was not sent. */
  async #listed(found: Map<string, Doc>): Promise<void> {
    const listing = this.#listing;
    if (listing === null) return;
    this.#listing = null;
    for (const doc of await this.#collection.find().exec()) {
      if (!listing.seen.has(doc.primary)) found.set(doc.primary, { ...(doc.toMutableJSON() as Doc), _deleted: true });
    }
  }

  // To the server.

  async #inTurn<R>(work: () => Promise<R>): Promise<R> {
    const mine = this.#turn.then(work, work);
    this.#turn = mine.catch(() => null);
    return await mine;
  }

  /** Send documents; the answer has those that are to be decided anew, as they are stored. */
  async #push(rows: Row[]): Promise<Doc[]> {
    await this.#settle();
    const batch = rows.map((row) => this.#sending(row)).filter(({ sent, base }) => !same(sent.state, base));
    if (batch.length === 0) return [];
    for (const { key, sent } of batch) this.#sent.set(key, sent);
    await this.#keep(batch); // before it is sent: after a restart it is sent again as it was
    const written = await this.#remote.send(batch.map(({ sent }) => this.#write(sent)));
    const conflicts = batch.map((sending, place) => this.#settled(sending, written[place] as Written));
    await this.#keep(batch);
    const again = batch.filter((_, place) => conflicts[place] === "again").map(({ row }) => row);
    return [...conflicts.filter(isDoc), ...(again.length === 0 ? [] : await this.#push(again))];
  }

  /** Send what has no answer yet once more: it is stored once, whatever it is that is to be sent now. */
  async #settle(): Promise<void> {
    const open = [...this.#sent].filter(([, sent]) => sent.version === undefined).map(([key, sent]) => ({ key, sent }));
    const written = await this.#remote.send(open.map(({ sent }) => this.#write(sent)));
    for (const [place, { key, sent }] of open.entries()) {
      const result = written[place] as Written;
      if (result.status === "stored") sent.version = result.version;
      else this.#sent.delete(key);
    }
    if (open.length > 0) await this.#keep(open);
  }

  #settled({ key, row, base, before, sent }: Sending, result: Written): Doc | "again" | null {
    if (result.status === "stored") {
      sent.version = result.version;
      this.#listing?.seen.add(key);
      return null;
    }
    this.#sent.delete(key);
    if (before !== undefined) this.#sent.set(key, before);
    const mine = row.newDocumentState;
    const theirs = this.#stored(result.current, mine);
    if (result.status === "invalid") {
      this.#told.refused.add(key);
      const value = mine._deleted ? undefined : bare(mine, this.#primary);
      this.#options.onRefused?.({ key, value, errors: result.errors });
      return theirs;
    }
    const { satchelVersion: version = 0 } = theirs;
    if (version > 0 && (same(theirs, mine) || same(theirs, base))) {
      // only the number differs
      this.#sent.set(key, { ...sent, state: theirs, version });
      return "again";
    }
    if (base === undefined) this.#told.bases.delete(key);
    else this.#told.bases.set(key, base);
    return theirs;
  }

  /** A document with what it was made of: what RxDB knows of the server, or what was sent since. */
  #sending(row: Row): Sending {
    const state = row.newDocumentState;
    const key = this.#key(state);
    const assumed = row.assumedMasterState as Doc | undefined;
    const before = this.#sent.get(key);
    const isNewer = before?.version !== undefined && before.version > (assumed?.satchelVersion ?? -1);
    const base = isNewer ? { ...before.state, ...versioned(before.version) } : assumed;
    const ifVersion = base === undefined || base._deleted ? 0 : (base.satchelVersion ?? 0);
    return { key, row, base, before, sent: { state, ifVersion, mutationId: crypto.randomUUID() } };
  }

  #write({ state, ifVersion, mutationId }: Sent): Write {
    const dataKey = this.#prefix + this.#key(state);
    if (state._deleted) return { dataKey, ifVersion, mutationId, delete: true };
    return { dataKey, ifVersion, mutationId, value: bare(state, this.#primary) };
  }

  // What survives a restart: whose it is, and what was sent last.

  async #recall(): Promise<void> {
    const kept = (await this.#collection.getLocal<{ userId: string; sent: Sent[] }>(KEPT))?.toMutableJSON().data;
    const { userId } = this.#remote;
    if (kept !== undefined && kept.userId !== userId) throw new AnotherPerson("this collection keeps another person's data");
    for (const sent of kept?.sent ?? []) this.#sent.set(this.#key(sent.state), sent);
    if (kept === undefined) await this.#keep([]);
  }

  /** Of what was just sent, what is not known to be refused or in conflict. */
  async #keep(batch: { key: string; sent: Sent }[]): Promise<void> {
    const sent = batch.filter(({ key, sent }) => this.#sent.get(key) === sent).map(({ sent }) => sent);
    await this.#collection.upsertLocal(KEPT, { userId: this.#remote.userId, sent });
  }

  /** RxDB has it from the server now. */
  #noted(doc: Doc): void {
    const sent = this.#sent.get(this.#key(doc));
    if (sent?.version !== undefined && sent.version <= (doc.satchelVersion ?? 0)) this.#sent.delete(this.#key(doc));
  }

  // Signing out.

  async #unsent(): Promise<number> {
    await this.#state.start().catch(() => null); // in a tab that does not lead, too
    const waited = new Promise((resolve) => setTimeout(resolve, PATIENCE));
    const failed = firstValueFrom(this.#state.error$, { defaultValue: null });
    await Promise.race([this.#state.awaitInSync(), failed, waited]);
    return await pending(this.#state);
  }

  async #leave(): Promise<void> {
    await this.#state.cancel();
    await this.#collection.remove();
  }

  #key(doc: Doc): string {
    return doc[this.#primary] as string;
  }

  #document(key: string, { value, version }: Live): Doc {
    return { ...(value as JsonObject), [this.#primary]: key, satchelVersion: version, _deleted: false };
  }

  #stored(live: Live | null, mine: Doc): Doc {
    if (live !== null && isDocument(live)) return this.#document(this.#key(mine), live);
    return { ...mine, satchelVersion: live?.version ?? 0, _deleted: true };
  }
}

function isDoc(item: Doc | "again" | null): item is Doc {
  return item !== null && item !== "again";
}
