// Runs the scenarios, `clients/scenarios.json` and those of the adapters, against a real server, in Node or in a browser.
import { equal, Unstorable, type Json } from "../src/index.js";
import { Device, type Open } from "./device.js";
import type { World } from "./world.js";

export interface Scenario {
  name: string;
  persistent?: boolean;
  /** Device a begins as a guest, and the person is to come, or is there on device b. */
  guest?: "new" | "known";
  /** Another app than the usual one: the one with a quota. */
  app?: string;
  steps: Step[];
}

type Step = { on?: string } & Record<string, unknown>;
type People = Record<string, string>;
type Action = (device: Device, given: never, people: People) => unknown;

const clock = Date.now;

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

/**
 * Run one scenario; an error says which step failed, and how.
 *
 * @param patience milliseconds: a device that was told to go online takes a moment to try again.
 */
export async function run(scenario: Scenario, world: World, open: Open, patience = 30_000): Promise<void> {
  const salt = crypto.randomUUID().slice(0, 8);
  const people: People = { first: `first.${salt}@example.com`, another: `another.${salt}@example.com` };
  const devices = new Map<string, Device>();
  try {
    for (const name of ["a", "b"]) {
      const appId = scenario.app === undefined ? world.appId : `${world.appId}.${scenario.app}`;
      const device = new Device(world, open, patience, scenario.persistent === true && name === "a", appId);
      devices.set(name, device);
      await begin(device, name, scenario, people["first"] as string);
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
    for (const device of devices.values()) await device.close();
  }
}

async function begin(device: Device, name: string, { guest }: Scenario, email: string): Promise<void> {
  if (name === "a") await (guest === undefined ? device.signIn(email) : device.beginAsGuest());
  else if (guest === "known") await device.world.invite(email);
  if (name === "b" && guest !== "new") await device.enter(email);
}

async function take(step: Step, devices: Map<string, Device>, people: People): Promise<void> {
  if (Array.isArray(step["sync"])) {
    for (const name of step["sync"] as string[]) await inStep(devices.get(name) as Device);
    return;
  }
  const device = devices.get(step.on ?? "") as Device;
  for (const [what, given] of Object.entries(step)) {
    if (what === "on") continue;
    if (ACTIONS[what] === undefined) throw new Error(`there is no step ${what}`);
    await ACTIONS[what](device, given as never, people);
  }
}

const ACTIONS: Record<string, Action> = {
  put: (device, [key, value]: [string, Json]) => device.kit.put(key, value),
  patch: (device, [key, value]: [string, Json]) => device.kit.patch(key, value),
  delete: (device, key: string) => device.kit.delete(key),
  edits: async (device, [key, count]: [string, number]) => {
    for (let edit = 1; edit <= count; edit++) await device.kit.put(key, { edit });
  },
  fill: async (device, count: number) => {
    for (let place = 0; place < count; place++) await device.kit.put(`k${place}`, { place });
  },
  offline: (device, given: boolean) => {
    device.network.isOffline = given;
  },
  loseAnswers: (device, count: number) => {
    device.network.losing = count;
  },
  withoutValues: (device, count: number) => {
    device.network.stripping = count;
  },
  proxyPages: (device, count: number) => {
    device.network.proxyPages = count;
  },
  loseAnswerAndNetwork: (device) => {
    Object.assign(device.network, { losing: 1, goesToo: true });
  },
  oldCursor: (device) => {
    device.network.hasOldCursor = true;
  },
  clock: (_, seconds: number) => {
    const real = performance.timeOrigin;
    Date.now = () => Math.floor(real + performance.now()) + seconds * 1000;
  },
  restart: (device) => device.restart(),
  endToken: (device) => device.endToken(),
  trySync: (device) => device.kit.flush().catch(() => null),
  signOut: (device) => device.signOut(),
  signIn: (device, who: string, people) => device.signIn(people[who] as string),
  enter: (device, who: string, people) => device.enter(people[who] as string),
  signInAsGuest: async (device, [who, state]: [string, string], people) =>
    see((await device.signInAsGuest(people[who] as string)) ?? null, state),
  mergeGuest: async (device, keep: "target" | "source") => see(await device.mergeGuest(keep), false),
  expectMergeConflict: async (device) => see(await device.mergeGuest(null), true),
  expect: async (device, wanted: Record<string, Json>) => see(await device.kit.contents(), wanted),
  await: (device, wanted: Record<string, Json>) => eventually(device, async () => see(await device.kit.contents(), wanted)),
  expectPending: async (device, count: number) => see(await device.kit.pending(), count),
  expectCount: async (device, count: number) => see(Object.keys(await device.kit.contents()).length, count),
  expectConflicts: (device, keys: string[]) => see([...new Set(device.conflicts)], keys),
  expectMutations: (device, [key, count]: [string, number]) => {
    const writes = device.network.batches.flatMap((batch) => batch.writes).filter((write) => write.dataKey === key);
    see(new Set(writes.map((write) => write.mutationId)).size, count);
  },
  expectRefused: (device, keys: string[]) => see(device.refused, keys),
  expectVersionAtMost: async (device, [key, most]: [string, number]) => {
    const version = await device.kit.version(key);
    if (version < 1 || version > most) throw new Error(`version ${version}, not 1 to ${most}`);
  },
  noStreams: (device, given: boolean) => {
    device.network.streams.getThrough = !given;
  },
  cutStream: (device) => device.network.streams.cut(),
  endStream: (device, reason: string) => {
    device.renewedFrom = device.tokens.get();
    device.network.streams.cut(reason);
  },
  restartServer: (device) => device.world.restart(),
  awaitStreams: (device, count: number) => eventually(device, async () => see(device.network.streams.count >= count, true)),
  awaitRenewed: (device) => eventually(device, async () => see(device.tokens.get() !== device.renewedFrom, true)),
  expectUnstorable: async (device, [key, value, code]: [string, string, string]) => {
    const refused: unknown = await device.kit.put(key, VALUES[value] as Json).catch((error: unknown) => error);
    see(refused instanceof Unstorable ? (refused.errors[0]?.code ?? null) : "it was taken", code);
  },
  expectUnsentAtSignOut: async (device, count: number) => see(await device.unsentAtSignOut(), count),
};

/** Until everything is sent and fetched. */
async function inStep(device: Device): Promise<void> {
  await eventually(device, () => device.kit.flush());
}

async function eventually({ patience }: Device, look: () => Promise<void>): Promise<void> {
  for (const end = performance.now() + patience; ; ) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function see(found: Json, wanted: Json): void {
  if (!equal(found, wanted)) throw new Error(`found ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
}
