// One device with a bad network: a session, and the store or the database that it keeps in step.
import { MergeConflict, Session, UnsentWork, type Json, type TokenStorage } from "../src/index.js";
import { Streams } from "./streams.js";
import type { World } from "./world.js";

/** What a scenario does to a store or a database. */
export interface Kit {
  put(key: string, value: Json): Promise<void>;
  patch(key: string, patch: Json): Promise<void>;
  delete(key: string): Promise<void>;
  contents(): Promise<Record<string, Json>>;
  version(key: string): Promise<number>;
  pending(): Promise<number>;
  /** Until everything is sent and fetched; it throws where that cannot be now. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface Place {
  /** Of this device, over its restarts. */
  name: string;
  isPersistent: boolean;
  session: Session;
  appId: string;
  network: Network;
  onConflict: (key: string) => void;
  onRefused: (key: string) => void;
}

export type Open = (place: Place) => Promise<Kit>;

/** A network that can be bad. */
export class Network {
  isOffline = false;
  losing = 0;
  /** How many batches a proxy answers, and how many answers tell of conflicts without values. */
  proxyPages = 0;
  stripping = 0;
  /** Whether the network goes with the next answer that is lost. */
  goesToo = false;
  hasOldCursor = false;
  /** The cursor was too old then: what was deleted before is told no more. */
  #forgottenAt: string | null = null;
  readonly streams = new Streams();
  /** How often changes were asked for, and the last question that was answered. */
  asked = 0;
  answered = 0;
  /** What was sent by batches. */
  readonly batches: { writes: { dataKey: string; mutationId: string }[] }[] = [];

  async fetch(request: Request): Promise<Response> {
    if (this.isOffline) throw new TypeError("offline");
    const url = new URL(request.url);
    const isBatch = url.pathname.endsWith("/batch");
    if (isBatch) this.batches.push((await request.clone().json()) as Network["batches"][number]);
    if (isBatch && this.proxyPages > 0) {
      this.proxyPages -= 1;
      return new Response("<p>?</p>", { status: 400, headers: { "Content-Type": "text/html" } });
    }
    const question = url.pathname.endsWith("/changes") ? ++this.asked : null;
    if (question !== null && this.hasOldCursor && url.searchParams.has("since")) {
      this.hasOldCursor = false;
      url.searchParams.set("since", await cursorOfAnotherFilter(request));
      request = new Request(url, request);
    }
    const answer = this.streams.opened(await fetch(request));
    if (this.losing > 0 && isBatch) {
      this.losing -= 1;
      this.isOffline = this.goesToo;
      await answer.arrayBuffer();
      throw new TypeError("the answer was lost");
    }
    if (isBatch && this.stripping > 0) {
      this.stripping -= 1;
      const told = (await answer.json()) as { results: { current?: { value?: Json } | null }[] };
      for (const result of told.results) delete result.current?.value;
      return Response.json(told);
    }
    if (question === null) return answer;
    if (answer.status === 410) this.#forgottenAt = new Date().toISOString();
    if (answer.ok) this.answered = Math.max(this.answered, question);
    return this.#forgottenAt === null || !answer.ok ? answer : await this.#purged(answer, this.#forgottenAt);
  }

  /** Without the tombstones that a server would have purged by then; a young one is told for two minutes. */
  async #purged(answer: Response, before: string): Promise<Response> {
    const page = (await answer.json()) as { changes: { deleted?: boolean; updatedAt: string }[] };
    const changes = page.changes.filter((change) => change.deleted !== true || change.updatedAt > before);
    return Response.json({ ...page, changes });
  }

  /** Until changes were asked for anew, and the answer came. */
  async heard(ask: () => void): Promise<void> {
    const since = this.asked;
    ask();
    for (let tries = 0; this.answered <= since; tries++) {
      if (tries === 1000) throw new Error("nobody asked for changes");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

export class Device {
  readonly conflicts: string[] = [];
  readonly refused: string[] = [];
  readonly network = new Network();
  renewedFrom: string | null = null;
  readonly #name = crypto.randomUUID();
  readonly tokens = inMemory();
  #kit: Kit | null = null;
  #session: Session;

  constructor(
    readonly world: World,
    readonly openKit: Open,
    readonly patience: number,
    readonly isPersistent: boolean,
    readonly appId: string,
  ) {
    this.#session = this.#newSession();
  }

  get kit(): Kit {
    if (this.#kit === null) throw new Error("nobody is signed in on this device");
    return this.#kit;
  }

  async signIn(email: string): Promise<void> {
    const { challengeId } = await this.#session.requestCode({ email });
    await this.#session.signIn(challengeId, await this.world.code(email));
    await this.open();
  }

  async beginAsGuest(): Promise<void> {
    await this.#session.beginAsGuest();
    await this.open();
  }

  /** Sign in as whom the guest is or becomes, without sending what waits; what has become of them. */
  async signInAsGuest(email: string): Promise<string | undefined> {
    const { userId } = this.#session;
    const { challengeId } = await this.#session.requestCode({ email });
    const signedIn = await this.#session.signIn(challengeId, await this.world.code(email));
    if (signedIn.userId !== userId) {
      await this.kit.close();
      await this.open();
    }
    return signedIn.guest?.state;
  }

  /** Whether it took to be said whose is kept. */
  async mergeGuest(keep: "target" | "source" | null): Promise<boolean> {
    try {
      await this.#session.mergeGuest(keep ?? {});
      return false;
    } catch (error) {
      if (error instanceof MergeConflict) return error.conflicts.length > 0;
      throw error;
    }
  }

  async enter(email: string): Promise<void> {
    this.#session.use(await this.world.token(email));
    await this.open();
  }

  async open(): Promise<void> {
    this.#kit = await this.openKit({
      name: this.#name,
      isPersistent: this.isPersistent,
      session: this.#session,
      appId: this.appId,
      network: this.network,
      onConflict: (key) => this.conflicts.push(key),
      onRefused: (key) => this.refused.push(key),
    });
  }

  async restart(): Promise<void> {
    await this.kit.close();
    this.#session = this.#newSession();
    await this.open();
  }

  async signOut(): Promise<void> {
    await this.#session.signOut();
    await this.kit.close();
    this.#kit = null;
  }

  async unsentAtSignOut(): Promise<number> {
    try {
      await this.#session.signOut();
    } catch (error) {
      if (error instanceof UnsentWork) return error.count;
      throw error;
    }
    return 0;
  }

  endToken(): void {
    const kept = JSON.parse(this.tokens.get() ?? "{}") as { access: string };
    this.tokens.set(JSON.stringify({ ...kept, access: `${kept.access.slice(0, -8)}AAAAAAAA` }));
  }

  async close(): Promise<void> {
    await this.#kit?.close();
  }

  #newSession(): Session {
    const sent = (request: unknown): Promise<Response> => this.network.fetch(request as Request);
    return new Session(this.world.url, { tokens: this.tokens, fetch: sent });
  }
}

async function cursorOfAnotherFilter(request: Request): Promise<string> {
  const url = new URL(request.url);
  url.search = "?prefix=nothing-begins-so";
  const answer = await fetch(url, { headers: { Authorization: request.headers.get("Authorization") ?? "" } });
  return ((await answer.json()) as { cursor: string }).cursor;
}

function inMemory(): TokenStorage {
  let kept: string | null = null;
  return {
    get: () => kept,
    set: (text) => {
      kept = text;
    },
  };
}
