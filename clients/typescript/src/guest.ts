import type { Cache } from "./cache.js";
import type { GuestConflict } from "./errors.js";
import { KeptCache } from "./kept-cache.js";
import { databases } from "./places.js";
import type { components } from "./schema.js";
import type { Session } from "./session.js";

/** What became of the guest of this device when they signed in. */
export interface GuestOutcome {
  /**
   * `became`: the guest is this person, with the same id. `merged`: what they had is this person's. `kept`: both have
   * something (`conflicts`): `Session.mergeGuest` decides. `gone`: the server does not know the guest any more.
   */
  state: "became" | "merged" | "kept" | "gone";
  /** What both have. */
  conflicts: GuestConflict[];
}

/** Whose is kept where both have something: `target` is the person's, `source` the guest's; for all, or by kind. */
export type Keep = components["schemas"]["GuestMerge"]["keep"];

/** Who has signed in. */
export interface SignedIn {
  /** Their id. */
  userId: string;
  /** Whether they were made by it. */
  created: boolean;
  /** What became of the guest; null where there was none. */
  guest: GuestOutcome | null;
}

/** Tokens, and what else a device knows of the session. */
export interface Kept {
  access: string;
  refresh: string;
  userId: string;
  /** Whether this is a guest, as far as is known here. */
  isGuest?: boolean;
  /** A guest of this device who is there beside the person. */
  guest?: { userId: string; refresh: string };
  /** Guests who are this person now: what of theirs was not sent yet is the person's to send. */
  merged?: string[];
}

/** What a person's requests are sent with. */
export interface Tokens {
  /** Whose they are. */
  userId: string;
  /** For some minutes. */
  accessToken: string;
  /** For another pair; a server's token has none. */
  refreshToken?: string;
}

type Pair = Tokens & {
  guest?: components["schemas"]["GuestOutcome"] | null;
};

/** What is kept after a sign-in. The guest of before is this person, is merged into them, or is kept beside them. */
export function entered(before: Kept | null, pair: Pair): Kept {
  const now: Kept = { access: pair.accessToken, refresh: pair.refreshToken ?? "", userId: pair.userId };
  if (before === null) return now;
  const { merged = [], guest } = before;
  const known = merged.length > 0 ? { merged } : {};
  if (before.userId === now.userId) return { ...now, ...known, ...(guest === undefined ? {} : { guest }) };
  if (before.isGuest !== true) return now;
  // whoever is gone may have been merged by a sign-in whose answer was lost: what they left is not lost with it
  const isMerged = pair.guest?.state === "merged" || pair.guest?.state === "gone";
  if (isMerged) return { ...now, merged: [before.userId] };
  return { ...now, guest: { userId: before.userId, refresh: before.refresh } };
}

/** What is kept once tokens were renewed. */
export function renewed(before: Kept, pair: Pair): Kept {
  return { ...before, access: pair.accessToken, refresh: pair.refreshToken ?? "", userId: pair.userId };
}

/** What is kept once the guest was merged. */
export function joined({ guest, ...kept }: Kept): Kept {
  return guest === undefined ? kept : { ...kept, merged: [...(kept.merged ?? []), guest.userId] };
}

/** Where a person's data of an app is kept. */
export function nameOf(url: string, userId: string, appId: string): string {
  return `satchel:${url}:${userId}:${appId}`;
}

/** What guests left unsent of one app, who are the person now whose store this is. */
export class Legacy {
  readonly #done = new Set<string>();

  constructor(
    private readonly session: Session,
    private readonly appId: string,
    private readonly cache: Cache,
  ) {}

  /** Take over what was not sent; the keys that look different. What waits for the person's own comes later. */
  async take(): Promise<string[]> {
    const keys: string[] = [];
    for (const guest of this.session.merged) {
      if (!this.#done.has(guest)) keys.push(...(await this.#takeFrom(guest)));
    }
    return keys;
  }

  async #takeFrom(guest: string): Promise<string[]> {
    const name = nameOf(this.session.url, guest, this.appId);
    const left = this.session.left.get(name);
    const from = left !== undefined && !(await left.isShared) ? left : new KeptCache(name, "indexeddb");
    const keys: string[] = [];
    let waiting = 0;
    for (const { key, draft } of await from.list("")) {
      if (draft === null) continue;
      if (await this.cache.adopt(key, draft)) {
        keys.push(key);
        await from.update(key, (row) => ({ ...row, draft: null }));
      } else waiting += 1;
    }
    if (waiting > 0) {
      if (from !== left) from.close();
      return keys;
    }
    await from.drop();
    this.session.left.delete(name);
    this.#done.add(guest);
    return keys;
  }
}

/** Forget what is kept of somebody at a Satchel, of whichever apps, where the browser tells what there is. */
export async function forgetAll(url: string, userId: string): Promise<void> {
  const all = (await databases()?.databases?.()) ?? [];
  const names = all.map(({ name }) => name ?? "").filter((name) => name.startsWith(nameOf(url, userId, "")));
  await Promise.all(names.map((name) => new KeptCache(name, "indexeddb").drop()));
}
