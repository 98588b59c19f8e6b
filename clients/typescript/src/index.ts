/**
 * Satchel for apps: sign in, keep per-app data here and in step with the server, track events.
 *
 * @packageDocumentation
 */
export { Analytics, type AnalyticsOptions, type Traits } from "./analytics.js";
export {
  MergeConflict,
  NoGuest,
  SatchelError,
  SignedOut,
  Unreachable,
  UnsentWork,
  Unstorable,
  type FieldError,
  type GuestConflict,
  type Problem,
} from "./errors.js";
export type { GuestOutcome, Keep, SignedIn, Tokens } from "./guest.js";
export { equal, mergeFields, mergePatched, type Json, type JsonObject, type Storable } from "./json.js";
export { Remote, type Changes, type Live, type Write, type Written } from "./remote.js";
export type { TokenStorage } from "./places.js";
export type { Keeper } from "./keepers.js";
export { Session, type SessionOptions } from "./session.js";
export { openStore, type Store } from "./store.js";
export type { Entry, OnConflict, Refusal, Status, StoreOptions } from "./types.js";
export type { components, paths } from "./schema.js";
