import { Unstorable } from "./errors.js";
import type { Json, Storable } from "./json.js";

const MOST_BYTES = 512 * 1024;
const MOST_LEVELS = 64;
const KEY = /^(?:\.{0,2}[A-Za-z0-9_~:-]|\.{3})[A-Za-z0-9._~:-]{0,255}$/;
const KEY_LENGTH = 256;
const KEY_RULE = "a key has 1 to 256 characters of [A-Za-z0-9._~:-], and is neither . nor ..";
/** The first integer that, as it is written, does not fit 64 bits, and the first number that has an exponent. */
const [TOO_LARGE, WITH_EXPONENT] = [2 ** 63, 1e21];
const FULL = "the app keeps as much of this person as it may: delete, or shrink, something";

/**
 * See that a key is one.
 *
 * @throws Unstorable
 */
export function checkKey(key: string): void {
  if (key.length > KEY_LENGTH || !KEY.test(key)) throw invalid("/dataKey", "malformed", KEY_RULE);
}

/**
 * A copy of a value as JSON has it, so that nobody changes what is kept by changing what they gave.
 *
 * @throws Unstorable where no server would take it.
 */
export function storable(value: Storable): Json {
  walk(value, "", 0);
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) throw invalid("", "wrong_type", "this is no JSON value");
  const size = new TextEncoder().encode(text).length;
  if (size > MOST_BYTES) {
    const detail = `a value has at most ${MOST_BYTES} bytes of JSON, this one has ${size}`;
    throw new Unstorable("too_large", [{ pointer: "", code: "too_long", detail }]);
  }
  return JSON.parse(text) as Json;
}

function walk(value: unknown, pointer: string, depth: number): void {
  if (typeof value === "string") return checkText(value, pointer);
  if (typeof value === "number") return checkNumber(value, pointer);
  if (typeof value === "bigint" || typeof value === "function" || typeof value === "symbol") {
    throw invalid(pointer, "wrong_type", `a ${typeof value} is no JSON value`);
  }
  if (typeof value !== "object" || value === null) return;
  if (depth >= MOST_LEVELS) throw invalid(pointer, "too_deep", `JSON may be nested ${MOST_LEVELS} levels deep`);
  for (const [name, item] of Object.entries(value)) {
    const place = `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    if (name.includes("\0")) throw invalid(place, "nul_in_key", "a key must not contain U+0000");
    checkText(name, place);
    walk(item, place, depth + 1);
  }
}

function checkText(text: string, pointer: string): void {
  if (/\p{Surrogate}/u.test(text)) throw invalid(pointer, "not_unicode", "a string holds half of a surrogate pair");
}

function checkNumber(number: number, pointer: string): void {
  if (!Number.isFinite(number)) throw invalid(pointer, "not_finite", "NaN and Infinity are not JSON");
  const isInteger = Number.isInteger(number) && Math.abs(number) < WITH_EXPONENT;
  if (isInteger && Math.abs(number) >= TOO_LARGE) {
    throw invalid(pointer, "integer_too_large", "an integer must fit 64 bits with sign");
  }
}

function invalid(pointer: string, code: string, detail: string): Unstorable {
  return new Unstorable("invalid", [{ pointer, code, detail }]);
}

/** By how much changes make what the app keeps more, or less. */
export interface Growth {
  keys: number;
  bytes: number;
}

/** By how much one change does; null stands for no value. */
export function growth(before: { value: Json } | null, after: { value: Json } | null): Growth {
  return { keys: Number(after !== null) - Number(before !== null), bytes: sizeOf(after) - sizeOf(before) };
}

/** The name of the header by which the server tells how much of the quota is used. */
export const QUOTA = "Satchel-Quota";

/**
 * See that there is room for a change beside those that wait, by what the server told last. What does not grow has room.
 *
 * @throws Unstorable where there is none.
 */
export function checkQuota(header: string, grown: Growth, waiting: Iterable<Growth>): void {
  const others = [...waiting];
  for (const [, name, used, allowed] of header.matchAll(/(keys|bytes)=(\d+)(?:;allowed=(\d+))?/g)) {
    const which = name as keyof Growth;
    if (allowed === undefined || grown[which] <= 0) continue;
    const total = others.reduce((sum, each) => sum + each[which], Number(used) + grown[which]);
    if (total > Number(allowed)) {
      throw new Unstorable("quota_exceeded", [{ pointer: "", code: "quota_exceeded", detail: FULL }]);
    }
  }
}

function sizeOf(content: { value: Json } | null): number {
  return content === null ? 0 : new TextEncoder().encode(JSON.stringify(content.value)).length;
}
