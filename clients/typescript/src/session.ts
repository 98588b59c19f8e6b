import createClient, { type Client } from "openapi-fetch";
import { errorOf, SatchelError, SignedOut, Unreachable, UnsentWork, type Problem } from "./errors.js";
import { alone, channel } from "./locks.js";
import { inMemory, placeOf, type TokenStorage } from "./places.js";
import type { components, paths } from "./schema.js";

/** What `Session` may be told. */
export interface SessionOptions {
  /**
   * Where tokens are kept: `local` over restarts of the browser, `session` for this tab, `memory` for this page, or a
   * place of one's own. `local` where there is a browser, else `memory`.
   */
  tokens?: "local" | "session" | "memory" | TokenStorage;
  /** Instead of the global one. */
  fetch?: typeof fetch;
  /** What the person sees of this device in the list of their sessions. */
  deviceInfo?: string;
}

/** Who is to be asked before a person signs out, and told after it. */
export interface Guest {
  /** How many changes were not sent yet, once it was tried to send them. */
  unsent(): Promise<number>;
  /** Forget the person's data. */
  leave(): Promise<void>;
}

/** Milliseconds that an answer may take. */
const LONGEST = 60_000;

type Pair = components["schemas"]["TokenPair"];
interface Kept {
  access: string;
  refresh: string;
  userId: string;
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
  readonly #guests = new Set<Guest>();
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
    this.#told = this.userId;
    this.api = createClient<paths>({ baseUrl: this.url, fetch: (request) => this.#send(request) });
  }

  /** Who is signed in, null where nobody is. */
  get userId(): string | null {
    return this.#kept()?.userId ?? null;
  }

  /** Have a code sent to a mailbox or phone; what is answered goes into `signIn`. */
  async requestCode(recipient: { email: string } | { phoneNumber: string }): Promise<{ challengeId: string }> {
    const deviceToken = this.#device.get();
    const { data, error } = await this.#open().POST("/v1/auth/otp", {
      body: { ...recipient, ...(deviceToken === null ? {} : { deviceToken }) },
    });
    if (data === undefined) throw new SatchelError(error as Problem);
    return data;
  }

  /** Sign in by the code that came. */
  async signIn(challengeId: string, code: string): Promise<{ userId: string; created: boolean }> {
    const deviceInfo = this.#options.deviceInfo;
    const { data, error } = await this.#open().POST("/v1/auth/otp/verify", {
      body: { challengeId, code, ...(deviceInfo === undefined ? {} : { deviceInfo }) },
    });
    if (data === undefined) throw new SatchelError(error as Problem);
    return this.#begin(data);
  }

  /** Sign in by the ID token of an OpenID Connect provider. */
  async signInWith(provider: string, idToken: string): Promise<{ userId: string; created: boolean }> {
    const { data, error } = await this.#open().POST("/v1/auth/oidc/{provider}", {
      params: { path: { provider } },
      body: { idToken },
    });
    if (data === undefined) throw new SatchelError(error as Problem);
    return this.#begin(data);
  }

  /**
   * Take tokens that a server of one's own got: `POST /v1/users/{id}/sessions`, or a sign-in elsewhere.
   */
  use(pair: Pick<Pair, "accessToken" | "userId"> & { refreshToken?: string }): void {
    this.#keep({ access: pair.accessToken, refresh: pair.refreshToken ?? "", userId: pair.userId });
  }

  /**
   * End the session here and at the server, and clear what is kept of the person's data.
   *
   * @throws UnsentWork where changes could not be sent, unless they are to be discarded.
   */
  async signOut(options: { discardUnsent?: boolean } = {}): Promise<void> {
    const guests = [...this.#guests]; // they go by themselves as soon as the session is over
    if (options.discardUnsent !== true) {
      const counts = await Promise.all(guests.map((guest) => guest.unsent()));
      const count = counts.reduce((sum, each) => sum + each, 0);
      if (count > 0) throw new UnsentWork(count);
    }
    if (this.userId !== null) {
      // a session that cannot be ended at the server ends by itself
      await this.request("/v1/auth/logout", { method: "POST" }).catch(() => null);
    }
    await Promise.all(guests.map((guest) => guest.leave()));
    this.#keep(null);
  }

  /** Be told who is signed in, whenever that changes, in other tabs too. Call what is answered to be told no more. */
  onChange(listener: (userId: string | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Have whoever keeps the person's data be asked before a sign-out, and told of it. `Store`s are by themselves. */
  welcome(guest: Guest): () => void {
    this.#guests.add(guest);
    return () => this.#guests.delete(guest);
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
    if (kept !== null && kept.refresh !== "") await this.#renewed(kept);
  }

  async #send(request: Request): Promise<Response> {
    const kept = this.#kept();
    if (kept === null) throw new SignedOut("nobody is signed in");
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
    this.#renewing ??= alone(`satchel:${this.url}:refresh`, null, () => this.#renew(old)).finally(() => {
      this.#renewing = null;
    });
    return await this.#renewing;
  }

  async #renew(old: Kept): Promise<Kept> {
    const now = this.#kept();
    if (now !== null && now.access !== old.access) return now; // another tab has
    if (now === null || old.refresh === "") return this.#over(old);
    const { data, error, response } = await this.#open().POST("/v1/auth/refresh", { body: { refreshToken: old.refresh } });
    if (data !== undefined) {
      this.#begin(data);
      return { access: data.accessToken, refresh: data.refreshToken, userId: data.userId };
    }
    if (response.status !== 401) throw new SatchelError(error as Problem);
    return this.#over(old);
  }

  #over(old: Kept): never {
    if (this.#kept()?.access === old.access) this.#keep(null);
    throw new SignedOut("the session has ended");
  }

  #begin(pair: Pair): { userId: string; created: boolean } {
    this.#device.set(pair.deviceToken);
    this.#keep({ access: pair.accessToken, refresh: pair.refreshToken, userId: pair.userId });
    return { userId: pair.userId, created: pair.created };
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

/** @internal What the server refused, thrown. */
export async function checked(answer: Promise<Response>): Promise<Response> {
  const response = await answer;
  if (!response.ok) throw await errorOf(response);
  return response;
}

/** A server that hangs would hold up all that waits for it. A stream has its own time. */
function inTime(request: Request): Request {
  if (request.headers.get("Accept") === "text/event-stream") return request;
  return new Request(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(LONGEST)]) });
}

function withToken(request: Request, kept: Kept): Request {
  request.headers.set("Authorization", `Bearer ${kept.access}`);
  return request;
}

function storageOf(wanted: SessionOptions["tokens"], name: string): TokenStorage {
  if (typeof wanted === "object") {
    // one place for the tokens; the device's token is not worth a second one of the app's
    return name.endsWith(":tokens") ? wanted : inMemory();
  }
  return wanted === "memory" ? inMemory() : placeOf(wanted ?? "local", name);
}
