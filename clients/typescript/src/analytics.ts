import { openDB, type DBSchema, type IDBPDatabase } from "idb";
import { uuid } from "./ids.js";
import { sizeOf, type Json, type JsonObject } from "./json.js";
import { alone, Bell, Pauses } from "./locks.js";
import { databases, placeOf } from "./places.js";

/** What `Analytics` is to know. */
export interface AnalyticsOptions {
  /** A key with the scope `events:write` and an app: all it can do is add events, so pages may show it. */
  writeKey: string;
  /** Events are sent together, this many milliseconds after the first; 5,000 if not said. */
  flushAfter?: number;
  /** Instead of the global one. */
  fetch?: typeof fetch;
}

/** What is said of a person by `identify`. */
export type Traits = JsonObject;

interface Message {
  type: "track" | "page" | "identify";
  messageId: string;
  timestamp: string;
  anonymousId: string;
  userId?: string;
  event?: string;
  name?: string;
  properties?: JsonObject;
  traits?: Traits;
}

interface Schema extends DBSchema {
  events: { key: string; value: Message };
}

const MOST = 200;
const MOST_KEPT = 2_000;
const MOST_BYTES = 400 * 1024;
/** What browsers let all beacons of a page have together. */
const BEACON_BYTES = 60 * 1024;

/**
 * Events through an outbox: kept here until the server has them, sent by a beacon when the page goes. Each has an id, so
 * that one that comes twice counts once.
 */
export class Analytics {
  readonly #url: string;
  readonly #options: AnalyticsOptions;
  readonly #waiting = new Map<string, Message>();
  readonly #bell = new Bell();
  readonly #pauses = new Pauses();
  readonly #database: Promise<IDBPDatabase<Schema> | null> | null;
  readonly #unlisten: () => void;
  readonly #loaded: Promise<void>;
  #isClosed = false;

  constructor(url: string, options: AnalyticsOptions) {
    this.#url = url.replace(/\/+$/, "");
    this.#options = options;
    this.#database = databases() === null ? null : opened(`satchel:${this.#url}:${options.writeKey}`);
    this.#loaded = this.#load();
    this.#unlisten = onHide(() => this.#beacon());
    void this.#loop();
  }

  /** Something happened. */
  track(event: string, properties: JsonObject = {}): void {
    this.#add({ type: "track", event, properties });
  }

  /** A page was shown. */
  page(name: string, properties: JsonObject = {}): void {
    this.#add({ type: "page", name, properties });
  }

  /** Who this is, from here on: events from before are theirs too. */
  identify(userId: string, traits: Traits = {}): void {
    stored("user", userId);
    this.#add({ type: "identify", traits });
  }

  /** Somebody else from here on, whose id is not known. */
  reset(): void {
    stored("user", null);
    stored("anonymous", null);
  }

  /** Send what waits now; it is kept where that fails. */
  async flush(): Promise<void> {
    await this.#loaded;
    while (this.#waiting.size > 0) await alone(`satchel:${this.#url}:events`, null, () => this.#send());
  }

  /** Stop; what was not sent is sent the next time. */
  close(): void {
    this.#isClosed = true;
    this.#unlisten();
    this.#bell.ring();
  }

  #add(message: Pick<Message, "type"> & Partial<Message>): void {
    const userId = stored("user");
    const whole: Message = {
      ...message,
      messageId: uuid(),
      timestamp: new Date().toISOString(),
      anonymousId: stored("anonymous") ?? (stored("anonymous", uuid()) as string),
      ...(userId === null ? {} : { userId }),
    };
    this.#waiting.set(whole.messageId, whole);
    for (const oldest of this.#waiting.keys()) {
      if (this.#waiting.size <= MOST_KEPT) break;
      this.#forget([oldest]);
    }
    void this.#database?.then((db) => db?.put("events", whole)).catch(() => null); // it is sent all the same
    this.#bell.ring();
  }

  async #load(): Promise<void> {
    const kept = this.#database?.then((db) => db?.getAll("events")).catch(() => undefined);
    for (const message of (await kept) ?? []) {
      if (!this.#waiting.has(message.messageId)) this.#waiting.set(message.messageId, message);
    }
  }

  async #loop(): Promise<void> {
    const after = this.#options.flushAfter ?? 5_000;
    await this.#loaded;
    while (!this.#isClosed) {
      if (this.#waiting.size === 0) await this.#bell.wait(2 ** 31 - 1);
      await new Promise((resolve) => setTimeout(resolve, this.#isClosed ? 0 : after));
      try {
        await this.flush();
        this.#pauses.reset();
      } catch {
        await this.#bell.wait(this.#pauses.next());
      }
    }
  }

  async #send(): Promise<void> {
    const batch = fitting([...this.#waiting.values()], MOST_BYTES);
    if (batch.length === 0) return;
    const answer = await (this.#options.fetch ?? fetch)(`${this.#url}/v1/batch`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Basic ${btoa(`${this.#options.writeKey}:`)}` },
      body: body(batch),
    });
    await answer.body?.cancel();
    // what was refused for good would be refused again
    if (!answer.ok && (answer.status >= 500 || [401, 403, 408, 429].includes(answer.status))) {
      throw new Error(`events were not taken: ${answer.status}`);
    }
    this.#forget(batch.map((message) => message.messageId));
  }

  /** The page goes: what waits is sent without waiting for an answer, and stays until one has come. */
  #beacon(): void {
    const batch = fitting([...this.#waiting.values()], BEACON_BYTES);
    if (batch.length === 0) return;
    const key = encodeURIComponent(this.#options.writeKey);
    globalThis.navigator.sendBeacon(`${this.#url}/v1/batch?writeKey=${key}`, new Blob([body(batch)], { type: "text/plain" }));
  }

  #forget(ids: string[]): void {
    for (const id of ids) this.#waiting.delete(id);
    const forget = async (db: IDBPDatabase<Schema> | null): Promise<void> => {
      const tx = db?.transaction("events", "readwrite");
      if (tx !== undefined) await Promise.all([...ids.map((id) => tx.store.delete(id)), tx.done]);
    };
    void this.#database?.then(forget).catch(() => null); // it is sent again then, and counts once
  }
}

/** `sentAt` is there so that the server can correct a clock that is wrong. */
function body(batch: Message[]): string {
  return JSON.stringify({ batch, sentAt: new Date().toISOString() });
}

function fitting(messages: Message[], bytes: number): Message[] {
  let room = bytes;
  const fits = messages.slice(0, MOST).findIndex((message, place) => {
    room -= 16 + sizeOf(message as unknown as Json);
    return room < 0 && place > 0;
  });
  return messages.slice(0, fits === -1 ? MOST : fits);
}

/** Null where the browser lets nothing be kept: events last as long as the page then. */
async function opened(name: string): Promise<IDBPDatabase<Schema> | null> {
  return await openDB<Schema>(name, 1, {
    upgrade: (db) => {
      db.createObjectStore("events", { keyPath: "messageId" });
    },
  }).catch(() => null);
}

function onHide(listener: () => void): () => void {
  const page: Document | undefined = globalThis.document;
  if (page === undefined) return () => undefined;
  const hidden = (): void => {
    if (page.visibilityState === "hidden") listener();
  };
  page.addEventListener("visibilitychange", hidden);
  return () => page.removeEventListener("visibilitychange", hidden);
}

/** A text that is kept for this browser, or else this process: read, or written where a value is given. */
function stored(name: string, value?: string | null): string | null {
  const place = placeOf("local", `satchel:analytics:${name}`);
  if (value === undefined) return place.get();
  place.set(value);
  return value;
}
