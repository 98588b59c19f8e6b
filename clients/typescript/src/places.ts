/** Where tokens are kept: a text, or nothing. */
export interface TokenStorage {
  /** What is kept. */
  get(): string | null;
  /** Keep something, or nothing. */
  set(text: string | null): void;
}

const memory = new Map<string, string>();

/**
 * A place for one text. Browsers that keep nothing for a page (private windows, blocked storage, a full disk) throw:
 * then it lasts as long as the page.
 */
export function placeOf(kind: "local" | "session", name: string): TokenStorage {
  let isKept = true;
  return {
    get: () => {
      try {
        return (isKept ? storage(kind)?.getItem(name) : null) ?? memory.get(name) ?? null;
      } catch {
        return memory.get(name) ?? null;
      }
    },
    set: (text) => {
      memory.delete(name);
      try {
        const place = storage(kind);
        isKept = place !== undefined;
        if (text === null) place?.removeItem(name);
        else place?.setItem(name, text);
      } catch {
        isKept = false;
        forget(kind, name); // what was kept before is not what holds now
      }
      if (!isKept && text !== null) memory.set(name, text);
    },
  };
}

function storage(kind: "local" | "session"): Storage | undefined {
  return kind === "local" ? globalThis.localStorage : globalThis.sessionStorage;
}

function forget(kind: "local" | "session", name: string): void {
  try {
    storage(kind)?.removeItem(name);
  } catch {
    // then nothing was
  }
}

/** A place that lasts as long as whoever has it. */
export function inMemory(): TokenStorage {
  let kept: string | null = null;
  return {
    get: () => kept,
    set: (text) => {
      kept = text;
    },
  };
}

/** IndexedDB; null where there is none, or the page may not have it. */
export function databases(): IDBFactory | null {
  try {
    return (globalThis.indexedDB as IDBFactory | undefined) ?? null;
  } catch {
    return null;
  }
}
