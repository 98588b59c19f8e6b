import { errorOf, SatchelError, SignedOut, Unreachable, type FieldError } from "./errors.js";
import { sizeOf, type Json } from "./json.js";
import { follow, NoStream, rest } from "./live.js";
import { onOnline, onVisible } from "./locks.js";
import type { Told } from "./row.js";
import type { Session } from "./session.js";

/** A value or a deletion, made of the version `ifVersion`: 0 where no live value was known. */
export type Write = { dataKey: string; ifVersion: number; mutationId: string } & ({ value: Json } | { delete: true });

/** What became of one write. */
export type Written =
  | { dataKey: string; status: "stored"; version: number }
  | { dataKey: string; status: "conflict"; current: Live | null }
  | { dataKey: string; status: "invalid"; current: Live | null; errors: FieldError[] };

/** A value as it is stored. */
export interface Live {
  /** Under which key. */
  dataKey: string;
  /** It grows with each change of the key. */
  version: number;
  /** Any JSON. */
  value: Json;
}

/** One page of what changed, and where to go on. */
export interface Changes {
  /** Values, and keys that are gone. */
  changes: (Live | { dataKey: string; version: number; deleted: true })[];
  /** What the next question goes on from. */
  cursor: string;
  /** Whether to ask on at once. */
  more: boolean;
}

interface Result {
  dataKey: string;
  status: Written["status"] | "notApplied";
  version?: number;
  current?: Told | null;
  errors?: FieldError[];
}

const PAGE = 200;
const MOST = 100;
const MOST_BYTES = 768 * 1024;
const TRIES = 3;
const POLL = 60_000;
const POLL_WITHOUT_STREAM = 5_000;
/** So many times, and then a stream is tried again. */
const QUESTIONS = 60;

/**
 * One app's data of the person who is signed in, as the server has it: for databases that keep and queue by themselves.
 * `Store` is what apps use.
 */
export class Remote {
  readonly #session: Session;
  readonly #prefix: string;
  readonly #path: string;
  /** Whose data it is: after somebody else has signed in, the server refuses. */
  readonly userId: string;

  /**
   * @param prefix only keys that begin so.
   * @throws SignedOut where nobody is signed in.
   */
  constructor(session: Session, appId: string, prefix = "") {
    if (session.userId === null) throw new SignedOut("sign in first");
    this.userId = session.userId;
    this.#session = session;
    this.#prefix = prefix;
    this.#path = `/v1/users/${this.userId}/apps/${encodeURIComponent(appId)}`;
  }

  /**
   * What changed since a cursor; without one, what there is.
   *
   * @throws SatchelError with status 410 where the cursor is too old: ask without one; what does not come then is gone.
   */
  async changes(since: string | null, limit = PAGE): Promise<Changes> {
    const asked = { limit: String(limit), ...(since === null ? {} : { since }), ...this.#filter() };
    const answer = await this.#session.request(`${this.#path}/changes?${new URLSearchParams(asked)}`);
    if (!answer.ok) throw await errorOf(answer);
    return (await answer.json()) as Changes;
  }

  /**
   * Send any number of writes of different keys, each for itself, and tell what became of each, in their order. Where it
   * fails, send the same again, with the same `mutationId`s.
   */
  async send(writes: Write[]): Promise<Written[]> {
    const told = new Map<string, Written>();
    for (let tries = 0, left = writes; left.length > 0; tries++) {
      if (tries === TRIES) throw new Unreachable("the server is too busy with these values");
      for (const batch of batches(left)) {
        for (const result of await this.#batch(batch)) {
          if (result.status !== "notApplied") told.set(result.dataKey, await this.#whole(result));
        }
      }
      left = left.filter((write) => !told.has(write.dataKey));
    }
    return writes.map((write) => told.get(write.dataKey) as Written);
  }

  /**
   * Be poked when to ask for changes: at once, when something changed, when the page is looked at again, and now and
   * then besides; until the signal.
   */
  async follow(poke: () => void, signal: AbortSignal): Promise<void> {
    poke();
    const forget = [onOnline(poke), onVisible(poke)];
    signal.addEventListener("abort", () => forget.forEach((each) => each()));
    const place = { state: () => Promise.resolve({ cursor: null }) }; // it is not known here
    while (!signal.aborted) {
      const timer = setInterval(poke, POLL);
      try {
        await follow({ session: this.#session, path: this.#path, place, signal, poke });
      } catch (error) {
        if (!(error instanceof NoStream)) throw error;
      } finally {
        clearInterval(timer);
      }
      // no stream gets through: ask more often, and after a while try one again
      for (let left = QUESTIONS; left > 0 && !signal.aborted; left--) {
        await rest(POLL_WITHOUT_STREAM, signal);
        if (!signal.aborted) poke();
      }
    }
  }

  async #batch(writes: Write[]): Promise<Result[]> {
    const answer = await this.#session.request(`${this.#path}/batch`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ writes }),
    });
    if (answer.ok) return ((await answer.json()) as { results: Result[] }).results;
    const error = await errorOf(answer);
    // a page of somebody in between is no word of the server's on these values
    const isWord = error.code !== "unknown" || error.status === 413;
    if (error.isPassing || !isWord || [401, 403, 404, 409, 410].includes(error.status)) throw error;
    return await this.#apart(writes, error);
  }

  /** The server takes none of them together: by halves, until the one is found whose fault it is. */
  async #apart(writes: Write[], error: SatchelError): Promise<Result[]> {
    const [first] = writes;
    if (first === undefined) return [];
    if (writes.length > 1) {
      const half = Math.ceil(writes.length / 2);
      return [...(await this.#batch(writes.slice(0, half))), ...(await this.#batch(writes.slice(half)))];
    }
    const errors = error.problem.errors ?? [{ pointer: "", code: error.code, detail: error.message }];
    return [{ dataKey: first.dataKey, status: "invalid", errors, current: await this.#get(first.dataKey) }];
  }

  async #whole({ dataKey, status, version, current, errors }: Result): Promise<Written> {
    if (status === "stored") return { dataKey, status, version: version ?? 0 };
    const isLive = current != null && current.deleted !== true;
    // of many large values together the answer has the versions alone
    const stored = !isLive ? null : "value" in current ? (current as Live) : await this.#get(dataKey);
    if (status === "conflict") return { dataKey, status, current: stored };
    return { dataKey, status: "invalid", current: stored, errors: errors ?? [] };
  }

  async #get(key: string): Promise<Live | null> {
    const answer = await this.#session.request(`${this.#path}/data?keys=${encodeURIComponent(key)}`);
    if (!answer.ok) throw await errorOf(answer);
    return ((await answer.json()) as { items: Live[] }).items[0] ?? null;
  }

  #filter(): { prefix?: string } {
    return this.#prefix === "" ? {} : { prefix: this.#prefix };
  }
}

/** As many at once as one request takes. */
function batches(writes: Write[]): Write[][] {
  const made: Write[][] = [];
  let room = 0;
  for (const write of writes) {
    const size = 512 + sizeOf("value" in write ? write.value : null);
    const last = made.at(-1);
    if (last === undefined || last.length === MOST || room < size) {
      made.push([write]);
      room = MOST_BYTES - size;
    } else {
      last.push(write);
      room -= size;
    }
  }
  return made;
}
