/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** An object of JSON. */
export type JsonObject = { [name: string]: Json };

/**
 * What can be stored: any JSON, and objects of an interface or a class as JSON has them (a member that is `undefined` is
 * left out, a date is a string).
 */
export type Storable = Json | object;

/** Whether a value is an object, neither null nor a list. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether two values are the same, whatever the order of their members; `undefined` stands for no value. */
export function equal(one: Json | undefined, other: Json | undefined): boolean {
  if (one === other) return true;
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, place) => equal(item, other[place]));
  }
  if (!isObject(one) || !isObject(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && equal(one[name], other[name]))
  );
}

/** Bytes of a value's JSON in UTF-8. */
export function sizeOf(value: Json): number {
  return new TextEncoder().encode(JSON.stringify(value)).length;
}

/** A value with a JSON Merge Patch applied to it (RFC 7396). */
export function mergePatched(value: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(value) ? { ...value } : {};
  for (const [name, part] of Object.entries(patch)) {
    if (part === null) delete result[name];
    else result[name] = mergePatched(result[name], part);
  }
  return result;
}

/**
 * The three-way merge by field, for `onConflict`: what only one side changed is as that side has it, what both changed
 * is as it is stored, and where one side deleted what the other changed, what was changed stays.
 *
 * @param base what both began with; `undefined` where there was nothing.
 * @param mine what this client made of it.
 * @param theirs what is stored.
 */
export function mergeFields(base: Json | undefined, mine: Json | undefined, theirs: Json | undefined): Json | undefined {
  if (equal(mine, base)) return theirs;
  if (equal(theirs, base)) return mine;
  if (mine === undefined || theirs === undefined) return mine ?? theirs;
  if (!isObject(mine) || !isObject(theirs)) return theirs;
  const before: JsonObject = isObject(base) ? base : {};
  const merged: JsonObject = {};
  for (const name of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
    const field = mergeFields(before[name], mine[name], theirs[name]);
    if (field !== undefined) merged[name] = field;
  }
  return merged;
}
