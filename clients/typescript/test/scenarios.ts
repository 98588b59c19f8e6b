// Runs `clients/scenarios.json` against a real server, in Node or in a browser.
import {
  equal,
  mergeFields,
  openStore,
  Session,
  Unstorable,
  UnsentWork,
  type Json,
  type Store,
  type TokenStorage,
} from "../src/index.js";
import { Streams } from "./streams.js";

export interface Scenario {
  name: string;
  persistent?: boolean;
  /** Another app than the usual one: the one with a quota. */
  app?: string;
  steps: Step[];
}

type Step = { on?: string } & Record<string, unknown>;

/** What the harness gives: the server, an app of its own, and the code that was sent to a mailbox. */
export interface World {
  url: string;
  appId: string;
  code(email: string): Promise<string>;
  /** A token that a server of the app got for the person: a second device asks for no second code within a minute. */
  token(email: string): Promise<{ accessToken: string; userId: string }>;
  /** Another server in the place of the one that runs. */
  restart(): Promise<void>;
}

const PATIENCE = 30_000;

function deep(levels: number): Json {
  return levels > 1 ? [deep(levels - 1)] : [];
}

/** Values that are too much to stand in the scenarios, by their names there. */
const VALUES: Record<string, Json> = {
  large: "ä".repeat(256 * 1024),
  deep: deep(65),
  integer: 2 ** 63,
  infinite: [Number.POSITIVE_INFINITY],
  surrogate: { a: "\ud800" },
  nul: { a: { "\0": 1 } },
  small: 1,
};

/** One device: a session and a store whose network can be bad. */
class Device {
  readonly conflicts: string[] = [];
  readonly refused: string[] = [];
  isOffline = false;
  losing = 0;
  proxyPages = 0;
  stripping = 0;
  hasOldCursor = false;
  readonly streams = new Streams();
  readonly tokens: TokenStorage = inMemory();
  renewedFrom: string | null = null;
  #store: Store | null = null;
  #session: Session;

  constructor(
    readonly world: World,
    readonly isPersistent: boolean,
    readonly appId: string,
  ) {
    this.#session = this.#newSession();
  }

  get store(): Store {
    if (this.#store === null) throw new Error("nobody is signed in on this device");
    return this.#store;
  }

  async signIn(email: string): Promise<void> {
    const { challengeId } = await this.#session.requestCode({ email });
    await this.#session.signIn(challengeId, await this.world.code(email));
    this.open();
  }

  async enter(email: string): Promise<void> {
    this.#session.use(await this.world.token(email));
    this.open();
  }

  open(): void {
    this.#store = openStore(this.#session, this.appId, {
      cache: this.isPersistent ? "indexeddb" : "memory",
      onConflict: (base, mine, theirs, key) => {
        this.conflicts.push(key);
        return mergeFields(base, mine, theirs);
      },
      onRefused: ({ key }) => this.refused.push(key),
    });
  }

  restart(): void {
    this.store.close();
    this.#session = this.#newSession();
    this.open();
  }

  async signOut(): Promise<void> {
    await this.#session.signOut();
    this.#store = null;
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

  close(): void {
    this.#store?.close();
  }

  #newSession(): Session {
    return new Session(this.world.url, { tokens: this.tokens, fetch: (request) => this.#fetch(request as Request) });
  }

  async #fetch(request: Request): Promise<Response> {
    if (this.isOffline) throw new TypeError("offline");
    const url = new URL(request.url);
    if (this.proxyPages > 0 && url.pathname.endsWith("/batch")) {
      this.proxyPages -= 1;
      return new Response("<p>?</p>", { status: 400, headers: { "Content-Type": "text/html" } });
    }
    if (this.hasOldCursor && url.pathname.endsWith("/changes") && url.searchParams.has("since")) {
      this.hasOldCursor = false;
      url.searchParams.set("since", await this.#cursorOfAnotherFilter(request));
      request = new Request(url, request);
    }
    const answer = await fetch(request);
    if (this.losing > 0 && url.pathname.endsWith("/batch")) {
      this.losing -= 1;
      await answer.arrayBuffer();
      throw new TypeError("the answer was lost");
    }
    if (this.stripping > 0 && url.pathname.endsWith("/batch")) {
      this.stripping -= 1;
      const told = (await answer.json()) as { results: { current?: { value?: Json } | null }[] };
      for (const result of told.results) delete result.current?.value;
      return Response.json(told);
    }
    return this.streams.opened(answer);
  }

  async #cursorOfAnotherFilter(request: Request): Promise<string> {
    const url = new URL(request.url);
    url.search = "?prefix=nothing-begins-so";
    const answer = await fetch(url, { headers: { Authorization: request.headers.get("Authorization") ?? "" } });
    return ((await answer.json()) as { cursor: string }).cursor;
  }
}

/** Run one scenario; an error says which step failed, and how. */
export async function run(scenario: Scenario, world: World): Promise<void> {
  const salt = crypto.randomUUID().slice(0, 8);
  const people: Record<string, string> = { first: `first.${salt}@example.com`, another: `another.${salt}@example.com` };
  const devices = new Map<string, Device>();
  const clock = Date.now;
  try {
    for (const name of ["a", "b"]) {
      const appId = scenario.app === undefined ? world.appId : `${world.appId}.${scenario.app}`;
      const device = new Device(world, scenario.persistent === true && name === "a", appId);
      devices.set(name, device);
      await (name === "a" ? device.signIn(people["first"] as string) : device.enter(people["first"] as string));
    }
    for (const [place, step] of scenario.steps.entries()) {
      try {
        await take(step, devices, people);
      } catch (error) {
        throw new Error(`${scenario.name}: step ${place + 1} ${JSON.stringify(step)}: ${String(error)}`, { cause: error });
      }
    }
  } finally {
    Date.now = clock;
    for (const device of devices.values()) device.close();
  }
}

async function take(step: Step, devices: Map<string, Device>, people: Record<string, string>): Promise<void> {
  if (Array.isArray(step["sync"])) {
    for (const name of step["sync"] as string[]) await inStep(devices.get(name) as Device);
    return;
  }
  const device = devices.get(step.on ?? "") as Device;
  for (const [what, given] of Object.entries(step)) {
    if (what !== "on") await ACTIONS[what]?.(device, given as never, people);
    if (what !== "on" && ACTIONS[what] === undefined) throw new Error(`there is no step ${what}`);
  }
}

type Action = (device: Device, given: never, people: Record<string, string>) => unknown;

const ACTIONS: Record<string, Action> = {
  put: (device, [key, value]: [string, Json]) => device.store.put(key, value),
  patch: (device, [key, value]: [string, Json]) => device.store.patch(key, value),
  delete: (device, key: string) => device.store.delete(key),
  edits: async (device, [key, count]: [string, number]) => {
    for (let edit = 1; edit <= count; edit++) await device.store.put(key, { edit });
  },
  fill: async (device, count: number) => {
    for (let place = 0; place < count; place++) await device.store.put(`k${place}`, { place });
  },
  withoutValues: (device, count: number) => {
    device.stripping = count;
  },
  proxyPages: (device, count: number) => {
    device.proxyPages = count;
  },
  offline: (device, given: boolean) => {
    device.isOffline = given;
  },
  loseAnswers: (device, count: number) => {
    device.losing = count;
  },
  oldCursor: (device) => {
    device.hasOldCursor = true;
  },
  clock: (_, seconds: number) => {
    const real = performance.timeOrigin;
    Date.now = () => real + performance.now() + seconds * 1000;
  },
  restart: (device) => device.restart(),
  endToken: (device) => device.endToken(),
  trySync: (device) => device.store.flush().catch(() => null),
  signOut: (device) => device.signOut(),
  signIn: (device, who: string, people) => device.signIn(people[who] as string),
  expect: async (device, wanted: Record<string, Json>) => see(await contents(device), wanted),
  await: (device, wanted: Record<string, Json>) => eventually(async () => see(await contents(device), wanted)),
  expectPending: async (device, count: number) => see(await device.store.pending(), count),
  expectCount: async (device, count: number) => see((await device.store.list()).length, count),
  expectConflicts: (device, keys: string[]) => see([...new Set(device.conflicts)], keys),
  expectRefused: (device, keys: string[]) => see(device.refused, keys),
  expectVersionAtMost: async (device, [key, most]: [string, number]) => {
    const version = (await device.store.list(key))[0]?.version ?? 0;
    if (version < 1 || version > most) throw new Error(`version ${version}, not 1 to ${most}`);
  },
  noStreams: (device, given: boolean) => {
    device.streams.getThrough = !given;
  },
  cutStream: (device) => device.streams.cut(),
  endStream: (device, reason: string) => {
    device.renewedFrom = device.tokens.get();
    device.streams.cut(reason);
  },
  restartServer: (device) => device.world.restart(),
  awaitStreams: (device, count: number) => eventually(async () => see(device.streams.count >= count, true)),
  awaitRenewed: (device) => eventually(async () => see(device.tokens.get() !== device.renewedFrom, true)),
  expectUnstorable: async (device, [key, value, code]: [string, string, string]) => {
    const refused: unknown = await device.store.put(key, VALUES[value] as Json).catch((error: unknown) => error);
    see(refused instanceof Unstorable ? (refused.errors[0]?.code ?? null) : "it was taken", code);
  },
  expectUnsentAtSignOut: async (device, count: number) => see(await device.unsentAtSignOut(), count),
};

/** Until everything is sent and fetched; a device that was told to go online takes a moment to try again. */
async function inStep(device: Device): Promise<void> {
  await eventually(() => device.store.flush());
}

async function eventually(look: () => Promise<void>): Promise<void> {
  for (const end = performance.now() + PATIENCE; ; ) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function contents(device: Device): Promise<Record<string, Json>> {
  return Object.fromEntries((await device.store.list()).map((entry) => [entry.key, entry.value]));
}

function see(found: Json, wanted: Json): void {
  if (!equal(found, wanted)) throw new Error(`found ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
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
