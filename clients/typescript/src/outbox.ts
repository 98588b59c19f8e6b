import type { Asking } from "./asking.js";
import type { Cache } from "./cache.js";
import { errorOf, type FieldError, SatchelError } from "./errors.js";
import { equal, sizeOf, type Json } from "./json.js";
import { decided, heard, refused, settled, type Content, type Draft, type Row, type Told } from "./row.js";
import type { Session } from "./session.js";
import { QUOTA } from "./storable.js";
import type { StoreOptions } from "./types.js";

const MOST = 100;
/** A request has a mebibyte at most. */
const MOST_BYTES = 768 * 1024;

interface Result {
  dataKey: string;
  status: "stored" | "conflict" | "invalid" | "notApplied";
  version?: number;
  current?: Told | null;
  errors?: FieldError[];
}

/** Sends what waits, in its order: many at once, each with the version that it was made of, so that none is lost. */
export class Outbox {
  constructor(
    private readonly session: Session,
    private readonly path: string,
    private readonly cache: Cache,
    private readonly options: StoreOptions,
    private readonly asking: Asking,
  ) {}

  /**
   * Send the drafts that wait longest, but for those whose conflict is being decided.
   *
   * @returns the keys that look different now.
   */
  async send(signal: AbortSignal): Promise<string[]> {
    const waiting = await this.cache.take(MOST + this.asking.size);
    const rows = fitting(waiting.filter((row) => !this.asking.has(row.key)).slice(0, MOST));
    return rows.length === 0 ? [] : await this.#send(rows, signal);
  }

  async #send(rows: Row[], signal: AbortSignal): Promise<string[]> {
    const answer = await this.session.request(`${this.path}/batch`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ writes: rows.map(asWrite) }),
      signal,
    });
    if (answer.ok) {
      const { results } = (await answer.json()) as { results: Result[] };
      const byKey = new Map(rows.map((row) => [row.key, row]));
      const keys = await Promise.all(results.map((result) => this.#settle(byKey.get(result.dataKey), result)));
      await this.cache.noteQuota(answer.headers.get(QUOTA));
      return keys.flat();
    }
    const error = await errorOf(answer);
    // a page of somebody in between is no word of the server's on these values
    const isWord = error.code !== "unknown" || error.status === 413;
    if (error.isPassing || !isWord || [401, 403, 404, 409, 410].includes(error.status)) throw error;
    return await this.#apart(rows, error, signal);
  }

  /** The server takes none of them together: one by one it says whose fault that is. */
  async #apart(rows: Row[], error: SatchelError, signal: AbortSignal): Promise<string[]> {
    const [first] = rows;
    if (rows.length > 1) {
      const half = Math.ceil(rows.length / 2);
      return [...(await this.#send(rows.slice(0, half), signal)), ...(await this.#send(rows.slice(half), signal))];
    }
    if (first === undefined) return [];
    const errors = error.problem.errors ?? [{ pointer: "", code: error.code, detail: error.message }];
    return await this.#settle(first, { dataKey: first.key, status: "invalid", errors });
  }

  async #settle(row: Row | undefined, result: Result): Promise<string[]> {
    const sent = row?.draft?.sent;
    if (row === undefined || sent === undefined || sent === null) return [];
    if (result.status === "stored") {
      await this.cache.update(row.key, (now) => settled(now, sent.mutationId, result.version ?? 0));
      return [row.key];
    }
    const current = await this.#whole(result.current ?? null);
    if (result.current !== undefined) await this.#learn(row.key, current);
    if (result.status === "conflict") this.asking.begin(row.key, this.#decide(row.key, sent.mutationId, current));
    if (result.status === "invalid") {
      await this.cache.update(row.key, (now) => refused(now, sent.mutationId));
      this.options.onRefused?.({ key: row.key, value: sent.content?.value, errors: result.errors ?? [] });
      return [row.key];
    }
    return [];
  }

  /** What is stored, with its value: of many large ones together an answer has the versions alone. */
  async #whole(current: Told | null): Promise<Told | null> {
    if (current === null || current.deleted === true || "value" in current) return current;
    const answer = await this.session.request(`${this.path}/data?keys=${encodeURIComponent(current.dataKey)}`);
    if (!answer.ok) throw await errorOf(answer);
    return ((await answer.json()) as { items: Told[] }).items[0] ?? null;
  }

  /** Keep what is stored; null where there is no live value. */
  async #learn(key: string, current: Told | null): Promise<void> {
    await this.cache.update(key, (now) =>
      current === null ? { ...now, stored: null } : heard(now, current, now.listing),
    );
  }

  /** Ask what is to be, again where the person changed the value while it was asked. */
  async #decide(key: string, mutationId: string, current: Told | null): Promise<string[]> {
    const theirs: Content = current === null || current.deleted === true ? null : { value: current.value as Json };
    for (;;) {
      const draft = (await this.cache.get(key))?.draft;
      if (draft === undefined || draft === null || draft.sent?.mutationId !== mutationId) return [];
      const mine = isOwn(draft, theirs) ? draft.content : await this.#asked(draft, theirs, key);
      let isDone = false;
      await this.cache.update(key, (now) => {
        isDone = now.draft?.mutationId === draft.mutationId;
        return isDone ? decided(now, theirs, theirs === null ? 0 : (current?.version ?? 0), mine) : now;
      });
      if (isDone) return [key];
    }
  }

  async #asked(draft: Draft, theirs: Content, key: string): Promise<Content> {
    const made = await this.options.onConflict(draft.base?.value, draft.content?.value, theirs?.value, key);
    return made === undefined ? null : { value: made };
  }
}

/**
 * Whether what is stored is what this client began with, or what it sent, under another version: so it is with what was
 * a guest's. Then there is nothing to decide.
 */
function isOwn({ base, sent }: Draft, theirs: Content): boolean {
  return theirs !== null && [base, sent?.content].some((each) => each != null && equal(each.value, theirs.value));
}

function asWrite(row: Row): Record<string, unknown> {
  const { sent, baseVersion } = row.draft as NonNullable<Row["draft"]>;
  const what = sent?.content == null ? { delete: true } : { value: sent.content.value };
  return { dataKey: row.key, ifVersion: baseVersion, mutationId: sent?.mutationId, ...what };
}

/** As many as one request takes; the first in any case. */
function fitting(rows: Row[]): Row[] {
  let room = MOST_BYTES;
  const fits = rows.findIndex((row, place) => {
    room -= 512 + sizeOf(row.draft?.sent?.content?.value ?? null);
    return room < 0 && place > 0;
  });
  return fits === -1 ? rows : rows.slice(0, fits);
}
