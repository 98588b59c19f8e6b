import type { Cache } from "./cache.js";
import { errorOf } from "./errors.js";
import type { Told } from "./row.js";
import type { Session } from "./session.js";
import { QUOTA } from "./storable.js";

const PAGE = 200;

interface Page {
  changes: Told[];
  cursor: string;
  more: boolean;
}

/**
 * Fetch what is new, page by page, each kept with the cursor behind it. Where the cursor is too old, list everything.
 *
 * @param told is given the keys that look different, page by page.
 * @param wait seconds to wait for something new, 25 at most.
 */
export async function pull(
  session: Session,
  path: string,
  cache: Cache,
  signal: AbortSignal,
  told: (keys: string[]) => void,
  wait = 0,
): Promise<void> {
  for (let more = true; more && !signal.aborted; ) {
    const { cursor } = await cache.state();
    const since = cursor === null ? "" : `&wait=${wait}&since=${encodeURIComponent(cursor)}`;
    const answer = await session.request(`${path}/changes?limit=${PAGE}${since}`, { signal });
    if (answer.status === 410 && cursor !== null) {
      await answer.body?.cancel();
      await cache.relist();
      continue;
    }
    if (!answer.ok) throw await errorOf(answer);
    const page = (await answer.json()) as Page;
    told(await cache.apply(page.changes, page.cursor, page.more));
    await cache.noteQuota(answer.headers.get(QUOTA));
    more = page.more;
  }
}
