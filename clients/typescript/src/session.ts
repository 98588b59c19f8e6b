import createClient, { type Client } from "openapi-fetch";
import { errorOf, NoGuest, SignedOut, Unreachable } from "./errors.js";
import { entered, forgetAll, joined, renewed, type Keep, type Kept, type SignedIn, type Tokens } from "./guest.js";
import { seeThatAllIsSent, type Keeper } from "./keepers.js";
import type { KeptCache } from "./kept-cache.js";
import { alone, channel } from "./locks.js";
import { inMemory, placeOf, type TokenStorage } from "./places.js";
import { inTime, reached, refusal, withToken } from "./requests.js";
import type { components, paths } from "./schema.js";

/** What `Session` may be told. */
export interface SessionOptions {
  /**
   * Where tokens are kept: `local` over restarts of the browser, `session` for this tab, `memory` for this page, or a
   * place of one's own. `local` where there is a browser, else `memory`.
   */
  tokens?: "local" | "session" | "memory" | TokenStorage;
  /**
   * For people whom a server of your own signs in: asks it for another token when one is over (`use` takes the first);
   * null where the person is signed in no more. Not through this session: its requests wait for it. What it throws
   * counts as a server that cannot be reached.
   */
  renew?: () => Promise<Tokens | null>;
  /** Instead of the global one. */
  fetch?: typeof fetch;
  /** What the person sees of this device in the list of their sessions. */
  deviceInfo?: string;
}

type Pair = components["schemas"]["TokenPair"];
interface Answer {
  data?: Pair;
  error?: unknown;
}

/**
 * One person's session at one Satchel: signs in by a code, keeps tokens, renews them once for all tabs, and sends
 * requests with them.
 */
export class Session {
  /** Of the Satchel, without a slash at its end. */
  readonly url: string;
  /** The typed API, by paths of `/openapi.json`. */
  readonly api: Client<paths>;
  readonly #options: SessionOptions;
  readonly #tokens: TokenStorage;
  readonly #device: TokenStorage;
  readonly #channel: BroadcastChannel | null;
  readonly #listeners = new Set<(userId: string | null) => void>();
  readonly #keepers = new Set<Keeper>();
  /** @internal What stores in memory have of guests whose sign-in has closed them, by name. */
  readonly left = new Map<string, KeptCache>();
  #told: string | null;
  #renewing: Promise<Kept> | null = null;

  constructor(url: string, options: SessionOptions = {}) {
    this.url = url.replace(/\/+$/, "");
    this.#options = options;
    this.#tokens = storageOf(options.tokens, `satchel:${this.url}:tokens`);
    this.#device = storageOf(options.tokens, `satchel:${this.url}:device`);
    this.#channel = channel(`satchel:${this.url}:session`);
    this.#channel?.addEventListener("message", () => this.#tell());
    // the other tab's word may come before what it wrote can be read here: this one comes after it
    globalThis.window?.addEventListener("storage", () => this.#tell());
    // a page that comes back from the browser's cache has heard nothing meanwhile
    globalThis.window?.addEventListener("pageshow", () => this.#tell());
    this.#told = this.userId;
    this.api = createClient<paths>({ baseUrl: this.url, fetch: (request) => this.#send(request) });
  }

  /** Who is signed in, null where nobody is. */
  get userId(): string | null {
    return this.#kept()?.userId ?? null;
  }

  /** Whether who is signed in is a guest, as far as is known here. */
  get isGuest(): boolean {
    return this.#kept()?.isGuest === true;
  }

  /** The id of a guest whom a sign-in has kept beside the person: see `mergeGuest`; null where there is none. */
  get guestId(): string | null {
    return this.#kept()?.guest?.userId ?? null;
  }

  /** @internal The guests who are this person now. */
  get merged(): string[] {
    return this.#kept()?.merged ?? [];
  }

  /**
   * Begin without signing in: as a user whom nobody knows, who has no way back but what is kept here. Whoever is
   * signed in already, in another tab too, stays.
   *
   * @throws SatchelError with status 404 where the Satchel takes no guests.
   */
  async beginAsGuest(): Promise<{ userId: string }> {
    return await this.#alone(async () => {
      const kept = this.#kept();
      if (kept !== null) return { userId: kept.userId };
      const { data, error } = await this.#open().POST("/v1/auth/guests", { body: this.#onDevice() });
      if (data === undefined) throw refusal(error);
      this.#begin(data, { ...entered(null, data), isGuest: true });
      return { userId: data.userId };
    });
  }

  /** Have a code sent to a mailbox or phone; what is answered goes into `signIn`. */
  async requestCode(recipient: { email: string } | { phoneNumber: string }): Promise<{ challengeId: string }> {
    const deviceToken = this.#device.get();
    const { data, error } = await this.#open().POST("/v1/auth/otp", {
      body: { ...recipient, ...(deviceToken === null ? {} : { deviceToken }) },
    });
    if (data === undefined) throw refusal(error);
    return data;
  }

  /**
   * Sign in by the code that came. What a guest has comes along, sent or not: `guest` says how.
   *
   * @throws UnsentWork where a database that keeps a guest's data by itself could not send it before.
   */
  async signIn(challengeId: string, code: string): Promise<SignedIn> {
    return await this.#enter((guest) =>
      this.#open().POST("/v1/auth/otp/verify", { body: { challengeId, code, ...this.#onDevice(), ...guest } }),
    );
  }

  /** Sign in by the ID token of an OpenID Connect provider. As `signIn`. */
  async signInWith(provider: string, idToken: string): Promise<SignedIn> {
    const params = { path: { provider } };
    return await this.#enter((guest) =>
      this.#open().POST("/v1/auth/oidc/{provider}", { params, body: { idToken, ...this.#onDevice(), ...guest } }),
    );
  }

  /**
   * Take over what the guest has whom a sign-in has `kept`.
   *
   * @param keep whose is kept where both have something: `target` is mine, `source` the guest's; or by kind.
   * @throws NoGuest where none was kept; MergeConflict where it is to be said of more whose is kept.
   */
  async mergeGuest(keep: Keep = {}): Promise<void> {
    await this.#alone(async () => {
      const guest = this.#kept()?.guest;
      if (guest === undefined) throw new NoGuest("no guest was kept on this device");
      await this.#merge(guest.refresh, keep);
      const kept = this.#kept();
      if (kept !== null) this.#keep(joined(kept));
    });
    for (const keeper of this.#keepers) keeper.join?.();
  }

  /** Forget the guest whom a sign-in has `kept`, here and at the server, with what they have. */
  async forgetGuest(): Promise<void> {
    const { guest, ...kept } = this.#kept() ?? {};
    if (guest === undefined) return;
    const body = { refreshToken: guest.refresh };
    await this.#open().POST("/v1/auth/logout", { body }).catch(() => null); // it ends by itself
    for (const name of this.left.keys()) if (name.includes(`:${guest.userId}:`)) this.left.delete(name);
    await forgetAll(this.url, guest.userId);
    this.#keep(kept as Kept);
  }

  /**
   * Take tokens that a server of one's own got: what `POST /v1/users/{id}/sessions` answered, or a sign-in elsewhere.
   */
  use(tokens: Tokens): void {
    this.#keep(entered(this.#kept(), tokens));
  }

  /**
   * End the session here and at the server, and clear what is kept of the person's data. A guest has no way back.
   *
   * @throws UnsentWork where changes could not be sent, unless they are to be discarded.
   */
  async signOut(options: { discardUnsent?: boolean } = {}): Promise<void> {
    const keepers = [...this.#keepers]; // they go by themselves as soon as the session is over
    if (options.discardUnsent !== true) {
      await seeThatAllIsSent(keepers);
    }
    if (this.userId !== null) {
      // a session that cannot be ended at the server ends by itself
      await this.request("/v1/auth/logout", { method: "POST" }).catch(() => null);
    }
    await Promise.all(keepers.map((keeper) => keeper.leave()));
    this.#keep(null);
  }

  /** Be told who is signed in, whenever that changes, in other tabs too. Call what is answered to be told no more. */
  onChange(listener: (userId: string | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Have whoever keeps the person's data be asked before a sign-out, and told of it. `Store`s are by themselves. */
  welcome(keeper: Keeper): () => void {
    this.#keepers.add(keeper);
    return () => this.#keepers.delete(keeper);
  }

  /**
   * Send a request with the person's token; renewed and sent again where it was over.
   *
   * @throws SignedOut, Unreachable
   */
  async request(path: string, init: RequestInit = {}): Promise<Response> {
    return await this.#send(new Request(`${this.url}${path}`, init));
  }

  /** @internal Renew the tokens before they are over, where that can be done. */
  async renew(): Promise<void> {
    const kept = this.#kept();
    if (kept !== null && (kept.refresh !== "" || this.#options.renew !== undefined)) await this.#renewed(kept);
  }

  async #send(request: Request): Promise<Response> {
    const kept = this.#kept();
    if (kept === null) return this.#out();
    const again = request.clone();
    const answer = await this.#fetch(withToken(request, kept));
    if (answer.status !== 401) return answer;
    await answer.body?.cancel();
    return await this.#fetch(withToken(again, await this.#renewed(kept)));
  }

  async #fetch(sent: Request): Promise<Response> {
    const request = inTime(sent);
    try {
      return await (this.#options.fetch ?? fetch)(request);
    } catch (error) {
      if ((error as Error).name === "TimeoutError") throw new Unreachable("the server does not answer", { cause: error });
      if (request.signal.aborted) throw error;
      throw new Unreachable("the server cannot be reached", { cause: error });
    }
  }

  /** The API without a token. */
  #open(): Client<paths> {
    return createClient<paths>({ baseUrl: this.url, fetch: (request) => this.#fetch(request) });
  }

  async #renewed(old: Kept): Promise<Kept> {
    this.#renewing ??= this.#alone(() => this.#renew(old)).finally(() => {
      this.#renewing = null;
    });
    return await this.#renewing;
  }

  async #renew(old: Kept): Promise<Kept> {
    const now = this.#kept();
    if (now !== null && now.access !== old.access) return now; // another tab has
    if (now === null) return this.#over(old);
    if (old.refresh === "") return await this.#another(old);
    const { data, error, response } = await this.#open().POST("/v1/auth/refresh", { body: { refreshToken: old.refresh } });
    if (data !== undefined) return this.#begin(data, renewed(now, data));
    if (response.status !== 401) throw refusal(error);
    return this.#over(old);
  }

  /** Another token from the app's own server. */
  async #another(old: Kept): Promise<Kept> {
    const tokens = (await reached(this.#options.renew)) ?? this.#over(old);
    this.use(tokens);
    return this.#kept() ?? this.#out();
  }

  #over(old: Kept): never {
    if (this.#kept()?.access === old.access) this.#keep(null);
    throw new SignedOut("the session has ended");
  }

  /** One at a time in all tabs, whatever changes the tokens. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    return await alone(`satchel:${this.url}:refresh`, null, work);
  }

  /** Sign in, with the guest of this device where there is one: their token is not to be renewed meanwhile. */
  async #enter(send: (guest: { guestToken?: string }) => Promise<Answer>): Promise<SignedIn> {
    const others = [...this.#keepers].filter((keeper) => keeper.join === undefined);
    if (this.isGuest) await seeThatAllIsSent(others);
    return await this.#alone(async () => {
      const before = this.#kept();
      const guest = before?.isGuest === true && before.refresh !== "" ? before : null;
      const { data, error } = await send(guest === null ? {} : { guestToken: guest.refresh });
      if (data === undefined) throw refusal(error);
      const isAnother = guest !== null && guest.userId !== data.userId;
      if (isAnother) await Promise.all(others.map((keeper) => keeper.leave()));
      this.#begin(data, entered(before, data));
      return { userId: data.userId, created: data.created, guest: (data.guest as SignedIn["guest"] | undefined) ?? null };
    });
  }

  async #merge(guestToken: string, keep: Keep): Promise<void> {
    const old = this.#kept() ?? this.#out();
    const ask = async (kept: Kept): Promise<Response> => await this.#fetch(withToken(this.#asMerge(guestToken, keep), kept));
    let answer = await ask(old);
    if (answer.status === 401) answer = await ask(await this.#renew(old)); // this one holds the lock already
    if (!answer.ok) throw await errorOf(answer);
  }

  #asMerge(guestToken: string, keep: Keep): Request {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ guestToken, keep });
    return new Request(`${this.url}/v1/users/me/guests`, { method: "POST", headers, body });
  }

  #out(): never {
    throw new SignedOut("nobody is signed in");
  }

  #onDevice(): { deviceInfo?: string } {
    const { deviceInfo } = this.#options;
    return deviceInfo === undefined ? {} : { deviceInfo };
  }

  #begin(pair: Pair, kept: Kept): Kept {
    this.#device.set(pair.deviceToken);
    this.#keep(kept);
    return kept;
  }

  #kept(): Kept | null {
    const text = this.#tokens.get();
    return text === null ? null : (JSON.parse(text) as Kept);
  }

  #keep(kept: Kept | null): void {
    this.#tokens.set(kept === null ? null : JSON.stringify(kept));
    this.#channel?.postMessage("changed");
    this.#tell();
  }

  #tell(): void {
    const userId = this.userId;
    if (userId === this.#told) return;
    this.#told = userId;
    for (const listener of this.#listeners) listener(userId);
  }
}

function storageOf(wanted: SessionOptions["tokens"], name: string): TokenStorage {
  if (typeof wanted === "object") {
    // one place for the tokens; the device's token is not worth a second one of the app's
    return name.endsWith(":tokens") ? wanted : inMemory();
  }
  return wanted === "memory" ? inMemory() : placeOf(wanted ?? "local", name);
}
