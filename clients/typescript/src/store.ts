import { Asking } from "./asking.js";
import { type SatchelError, SignedOut, Unstorable } from "./errors.js";
import { Legacy, nameOf } from "./guest.js";
import { hear } from "./hearing.js";
import { mergePatched, type Json, type Storable } from "./json.js";
import { alone, Bell, channel, onOnline, onVisible } from "./locks.js";
import { KeptCache } from "./kept-cache.js";
import type { Message } from "./messages.js";
import { Outbox } from "./outbox.js";
import { pull } from "./pull.js";
import { keepInStep } from "./rounds.js";
import { seen, type Row } from "./row.js";
import type { Session } from "./session.js";
import { checkKey, storable } from "./storable.js";
import type { Entry, Status, StoreOptions } from "./types.js";
import { Watchers } from "./watchers.js";

/**
 * A person's data of one app: read from what is kept here, written through an outbox, kept in step with the server.
 *
 * One tab of a browser does the sending and the asking for all of them; another takes over when it closes.
 */
export class Store {
  readonly #session: Session;
  readonly #options: StoreOptions;
  readonly #name: string;
  readonly #path: string;
  readonly #cache: KeptCache;
  readonly #outbox: Outbox;
  readonly #legacy: Legacy;
  readonly #channel: BroadcastChannel | null;
  readonly #watchers = new Watchers((prefix) => this.list(prefix));
  readonly #bell = new Bell();
  readonly #end = new AbortController();
  readonly #asking = new Asking(this.#end.signal, (keys) => {
    this.#told(keys);
    this.#wake();
  });
  readonly #forget: (() => void)[] = [];
  #status: Status = "offline";
  #leads = false;
  #stale = true;
  #round: Promise<void> | null = null;

  /** @internal By `openStore`. */
  constructor(session: Session, userId: string, appId: string, options: StoreOptions) {
    this.#session = session;
    this.#options = options;
    // by their id: were somebody else signed in by now, `me` would be them
    this.#path = `/v1/users/${userId}/apps/${encodeURIComponent(appId)}`;
    this.#name = nameOf(session.url, userId, appId);
    this.#cache = new KeptCache(this.#name, options.cache ?? "indexeddb");
    this.#outbox = new Outbox(session, this.#path, this.#cache, options, this.#asking);
    this.#legacy = new Legacy(session, appId, this.#cache);
    this.#channel = options.cache === "memory" ? null : channel(this.#name);
    this.#channel?.addEventListener("message", (event) => this.#heard(event.data as Message));
    this.#channel?.postMessage({ asks: true } satisfies Message);
    const join = (): void => this.#refresh();
    this.#forget.push(session.welcome({ unsent: () => this.#unsent(), leave: () => this.#leave(), join }));
    this.#forget.push(session.onChange((now) => now !== userId && this.#part(userId)));
    this.#forget.push(onOnline(() => this.#wake()), onVisible(() => this.#refresh()));
    void this.#lead();
  }

  /** The value under a key, `undefined` where there is none. Nothing checks that it is of the type `T`. */
  async get<T = Json>(key: string): Promise<T | undefined> {
    this.#checkOpen();
    const row = await this.#cache.get(key);
    return row === undefined ? undefined : (seen(row)?.value as T | undefined);
  }

  /** The values whose keys begin so, in the order of their keys. */
  async list<T = Json>(prefix = ""): Promise<Entry<T>[]> {
    this.#checkOpen();
    return (await this.#cache.list(prefix)).flatMap(entryOf) as Entry<T>[];
  }

  /**
   * Store a value: here at once, at the server as soon as it can be reached.
   *
   * @throws Unstorable where the server would refuse it: too large, too deep, a malformed key, no room in the quota.
   * Nothing is kept then.
   */
  async put(key: string, value: Storable): Promise<void> {
    const content = { value: storable(value) };
    await this.#edit(key, () => content);
  }

  /**
   * Change parts of a value by a JSON Merge Patch (RFC 7396): null takes a member away.
   *
   * @throws Unstorable as `put`.
   */
  async patch(key: string, patch: Storable): Promise<void> {
    const parts = storable(patch);
    await this.#edit(key, (before) => ({ value: storable(mergePatched(before?.value, parts)) }));
  }

  /** Delete a value. */
  async delete(key: string): Promise<void> {
    await this.#edit(key, () => null);
  }

  /**
   * Change a value by what it is: `undefined` stands for none, before and after. What `change` throws is thrown, and
   * nothing is changed then.
   */
  async update<T = Json>(key: string, change: (before: T | undefined) => Storable | undefined): Promise<void> {
    await this.#edit(key, (before) => {
      const after = change(before?.value as T | undefined);
      return after === undefined ? null : { value: storable(after) };
    });
  }

  /**
   * Be done when nothing of a key waits to be sent: it is stored, or was refused, as `onRefused` has told.
   *
   * @throws SignedOut where the store was closed before; what waits is kept.
   */
  async settled(key: string): Promise<void> {
    const isSent = async (): Promise<boolean> => (await this.#cache.get(key))?.draft == null;
    await this.#watchers.until(key, isSent, this.#end.signal);
  }

  /**
   * Be given the values whose keys begin so: now, and again whenever one of them is different; none when the person is
   * signed in no more, whichever tab it was done in.
   *
   * @returns to be called to be given no more.
   */
  watch<T = Json>(prefix: string, listener: (entries: Entry<T>[]) => void): () => void {
    return this.#watchers.add(prefix, listener as (entries: Entry[]) => void);
  }

  /** How many values have changes that are not known to be stored. */
  async pending(): Promise<number> {
    return await this.#cache.pending();
  }

  /** How things are with the server. */
  get status(): Status {
    return this.#status;
  }

  /**
   * Send what waits and fetch what is new, and be done when both are.
   *
   * @throws Unreachable, SignedOut, SatchelError where that cannot be done now; it goes on by itself later.
   */
  async flush(): Promise<void> {
    this.#stale = true;
    await this.#finish();
  }

  /** Stop keeping in step. What was not sent stays, for the next time. */
  close(): void {
    if (this.#end.signal.aborted) return;
    this.#end.abort();
    this.#bell.ring();
    for (const forget of this.#forget) forget();
    this.#channel?.close();
    this.#cache.close();
  }

  #checkOpen(): void {
    if (this.#end.signal.aborted) throw new SignedOut("this store was closed");
  }

  async #edit(key: string, change: (before: Row["stored"]) => Row["stored"]): Promise<void> {
    this.#checkOpen();
    checkKey(key);
    await this.#cache.edit(key, change).catch((error: unknown) => {
      if (error instanceof Unstorable && error.code === "quota_exceeded") this.#refresh(); // there may be room by now
      throw error;
    });
    this.#watchers.changed([key]);
    this.#channel?.postMessage({ edited: [key] } satisfies Message);
    this.#wake();
  }

  // Keeping in step. One tab holds the lock, and does it for all.

  async #lead(): Promise<void> {
    const lead = async (): Promise<void> => {
      this.#leads = true;
      await Promise.all([this.#loop(), this.#hear()]);
    };
    try {
      // what is kept in memory is this store's alone, and so is its sending
      await ((await this.#cache.isShared) ? alone(`${this.#name}:sync`, this.#end.signal, lead) : lead());
    } catch (error) {
      if (!this.#end.signal.aborted) throw error;
    }
  }

  async #loop(): Promise<void> {
    const { signal } = this.#end;
    const stale = (): boolean => (this.#stale = true);
    const failed = (error: unknown): Promise<void> => this.#failed(error);
    await keepInStep({ bell: this.#bell, signal, sync: () => this.#sync(), stale, failed });
  }

  async #failed(error: unknown): Promise<void> {
    this.#tell(error instanceof SignedOut ? "signedOut" : "offline");
    // a person who is gone has no session: that is found out now, and not when the token is over
    if ((error as Partial<SatchelError>).code === "not_found") await this.#session.renew().catch(() => null);
  }

  /** Until nothing is left to do, conflicts that somebody is asked about included. */
  async #finish(): Promise<void> {
    do await this.#sync(); // it may have been under way, and at its end
    while ((await this.#asking.all()) || (await this.#hasMore()));
  }

  /** Fetch and send until neither brings anything. One at a time, however often it is asked for. */
  async #sync(): Promise<void> {
    this.#round ??= this.#once().finally(() => {
      this.#round = null;
    });
    await this.#round;
  }

  async #once(): Promise<void> {
    this.#tell(this.#status === "live" ? "live" : "syncing");
    do {
      this.#told(await this.#legacy.take());
      if (this.#stale) {
        this.#stale = false;
        await this.#pull();
      }
      this.#told(await this.#outbox.send(this.#end.signal));
    } while (!this.#end.signal.aborted && (await this.#hasMore()));
    this.#tell("live");
  }

  async #hasMore(): Promise<boolean> {
    return this.#stale || (await this.#cache.pending()) > this.#asking.size;
  }

  async #pull(): Promise<void> {
    try {
      await this.#fetch();
    } catch (error) {
      this.#stale = true;
      throw error;
    }
  }

  /** Everything that is new; with seconds, what changes within them. */
  async #fetch(seconds?: number): Promise<void> {
    await pull(this.#session, this.#path, this.#cache, this.#end.signal, (keys) => this.#told(keys), seconds);
  }

  async #hear(): Promise<void> {
    await hear({
      session: this.#session,
      path: this.#path,
      place: this.#cache,
      signal: this.#end.signal,
      stream: this.#options.stream !== false,
      poke: () => {
        this.#stale = true;
        this.#wake();
      },
      ask: (seconds) => this.#fetch(seconds),
    });
  }

  /** Have the tab that leads ask the server how things are. */
  #refresh(): void {
    this.#stale = true;
    this.#wake();
    this.#channel?.postMessage({ isStale: true } satisfies Message);
  }

  #wake(): void {
    this.#bell.ring();
  }

  /** The tab that leads knows how things are, and tells the others. */
  #tell(status: Status): void {
    if (status === this.#status) return;
    this.#become(status);
    this.#channel?.postMessage({ status } satisfies Message);
  }

  #become(status: Status): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#options.onStatus?.(status);
  }

  // Telling watchers, here and in other tabs.

  #told(keys: string[]): void {
    if (keys.length === 0) return;
    this.#watchers.changed(keys);
    this.#channel?.postMessage({ changed: keys } satisfies Message);
  }

  #heard(message: Message): void {
    this.#watchers.changed(message.edited ?? message.changed ?? []);
    if (message.isStale === true) this.#stale = true;
    if (message.edited !== undefined || message.isStale === true) this.#wake();
    if (message.status !== undefined) this.#become(message.status);
    if (message.asks === true && this.#leads) this.#channel?.postMessage({ status: this.#status } satisfies Message);
  }

  async #unsent(): Promise<number> {
    await this.#finish().catch(() => null);
    return await this.#cache.pending();
  }

  async #leave(): Promise<void> {
    this.close(); // a round that goes on, as while a person decides, can keep nothing from here on
    this.#hide();
    await this.#cache.drop();
  }

  /** The session is the person's no more; what a guest has not sent is left to the person whom they are now. */
  #part(userId: string): void {
    const { guestId, merged } = this.#session;
    if (guestId === userId || merged.includes(userId)) this.#session.left.set(this.#name, this.#cache);
    this.close();
    this.#hide();
  }

  /** Nothing of the person's is shown any more, in whichever tab they have signed out. */
  #hide(): void {
    this.#become("signedOut");
    this.#watchers.end();
  }
}

/**
 * Open the data of the person who is signed in, of one app.
 *
 * @throws SignedOut where nobody is.
 */
export function openStore(session: Session, appId: string, options: StoreOptions): Store {
  const userId = session.userId;
  if (userId === null) throw new SignedOut("sign in first");
  return new Store(session, userId, appId, options);
}

function entryOf(row: Row): Entry[] {
  const content = seen(row);
  if (content === null) return [];
  return [{ key: row.key, value: content.value, version: row.version, pending: row.draft !== null }];
}
