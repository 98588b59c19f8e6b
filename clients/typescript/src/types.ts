import type { FieldError } from "./errors.js";
import type { Json } from "./json.js";

/**
 * One value as the app sees it.
 *
 * @typeParam T of the value; the app says so, and nothing checks it.
 */
export interface Entry<T = Json> {
  /** Under which key. */
  key: string;
  /** What the app sees: its own changes, or else what is stored. */
  value: T;
  /** The version that is stored; 0 where it was never. */
  version: number;
  /** Whether there are changes of it that are not known to be stored. */
  pending: boolean;
}

/** A change that the server will never take; it is gone from the outbox, and here for the last time. */
export interface Refusal {
  /** Under which key. */
  key: string;
  /** What was to be stored; `undefined` to delete. */
  value: Json | undefined;
  /** Why, as the server says it. */
  errors: FieldError[];
}

/**
 * Decides what becomes of a value that was changed here and elsewhere at once.
 *
 * @param base what this client began with; `undefined` where there was nothing.
 * @param mine what it made of it; `undefined` where it was deleted.
 * @param theirs what is stored; `undefined` where it was deleted.
 * @returns what is to be; `undefined` to delete. It may wait for the person's answer.
 */
export type OnConflict = (
  base: Json | undefined,
  mine: Json | undefined,
  theirs: Json | undefined,
  key: string,
) => Json | undefined | Promise<Json | undefined>;

/** `offline`: the server was not reached; `syncing`; `live`: in step, and told of changes as they come; `signedOut`. */
export type Status = "offline" | "syncing" | "live" | "signedOut";

/** What `openStore` is to know. */
export interface StoreOptions {
  /** There is no answer that suits every app, so there is none by default: `mergeFields` is one that suits many. */
  onConflict: OnConflict;
  /** Is told of changes that the server will never take. */
  onRefused?: (refusal: Refusal) => void;
  /** Is told how things are with the server, whenever that changes. */
  onStatus?: (status: Status) => void;
  /** `indexeddb` where there is one, else `memory`. */
  cache?: "indexeddb" | "memory";
  /** Where streams do not get through, ask by long polls alone. */
  stream?: boolean;
}
