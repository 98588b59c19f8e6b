// The main story, by a client that is typed by what openapi-typescript makes of the document.
// Types are the test: `tsc --strict` refuses this file where the document says too little or something else.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { env: Record<string, string | undefined>; exitCode?: number };

type User = components["schemas"]["UserView"];

function see(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

const client = createClient<paths>({
  baseUrl: process.env["SATCHEL_URL"] ?? "",
  headers: { Authorization: `Bearer ${process.env["SATCHEL_KEY"]}` },
});
const merge = { "Content-Type": "application/merge-patch+json" };
const steps = { "Content-Type": "application/json-patch+json" };

// Create and read. What is always there is so without `?.` and without `!`.
const created = await client.POST("/v1/users", { body: { email: "tess@example.com", name: "Tess" } });
see(created.data !== undefined, "a user is made");
const id: string = created.data.id;
const user = { params: { path: { userId: id } } };
const read = await client.GET("/v1/users/{userId}", user);
see(read.data !== undefined, "a user is read");
const name: string | null = read.data.name;
const roles: string[] = read.data.roles;
see(name === "Tess" && roles.length === 1, "as made");
see(!Number.isNaN(Date.parse(read.data.createdAt)), "a time");
const tag = read.response.headers.get("ETag") ?? "";

// Change by both kinds of patch.
const changed = await client.PATCH("/v1/users/{userId}", {
  params: { ...user.params, header: { "If-Match": tag } },
  headers: merge,
  body: { name: "Tess B." },
});
see(changed.data?.name === "Tess B.", "a merge patch changes");
const removed = await client.PATCH("/v1/users/{userId}", { ...user, headers: merge, body: { email: null } });
see(removed.data?.email === null, "null takes away");
const patched = await client.PATCH("/v1/users/{userId}", {
  ...user,
  headers: steps,
  body: [
    { op: "test", path: "/name", value: "Tess B." },
    { op: "copy", from: "/name", path: "/email" },
    { op: "remove", path: "/email" },
    { op: "replace", path: "/name", value: "Tess C." },
  ],
});
see(patched.data?.name === "Tess C.", "a JSON Patch changes");
const profile = await client.PATCH("/v1/users/{userId}/profile", {
  ...user,
  headers: merge,
  body: { bio: "Sails.", avatar: { url: "https://example.com/tess.png" }, metadata: { boat: "Laser" } },
});
see(profile.data?.avatar.url === "https://example.com/tess.png", "a part is changed");
see(profile.data.avatar.thumbnailUrl === null, "and the rest of it is there");

// A conflict tells what is stored, with its type.
const late = await client.PATCH("/v1/users/{userId}", {
  params: { ...user.params, header: { "If-Match": tag } },
  headers: merge,
  body: { name: "Tess D." },
});
see(late.response.status === 412 && late.error !== undefined && "current" in late.error, "too late");
const current: User | null = late.error.current;
see(current?.name === "Tess C." && late.error.code === "version_mismatch", "with the current one");

// Values of apps, whose envelope has a name.
const place = { path: { userId: id, appId: "notes", dataKey: "settings" } };
const put = await client.PUT("/v1/users/{userId}/apps/{appId}/data/{dataKey}", {
  params: { ...place, query: { ttl: 3600 } },
  body: { theme: "dark" },
});
const envelope: components["schemas"]["AppDataEnvelope"] | undefined = put.data;
see(envelope?.version === 1 && envelope.expiresAt !== undefined, "a value is put");
const twice = await client.PUT("/v1/users/{userId}/apps/{appId}/data/{dataKey}", {
  params: { ...place, header: { "If-None-Match": "*" } },
  body: {},
});
see(twice.error !== undefined && "current" in twice.error, "it is there already");
see(twice.error.current?.dataKey === "settings", "in its envelope");
const values = await client.GET("/v1/users/{userId}/apps/{appId}/data", { params: { path: place.path } });
see(values.data?.items[0]?.version === 1 && values.data.nextCursor === null, "a list of values");

// A list, and the next page of it.
await client.POST("/v1/users", { body: {} });
const first = await client.GET("/v1/users", { params: { query: { limit: 1 } } });
see(first.data !== undefined && first.data.nextCursor !== null, "more than one page");
const next = await client.GET("/v1/users", { params: { query: { limit: 1, cursor: first.data.nextCursor } } });
see(next.data?.items.length === 1 && next.data.items[0]?.id !== first.data.items[0]?.id, "the next page");

// Problems have codes that a compiler knows.
const nobody = await client.GET("/v1/users/{userId}", { params: { path: { userId: "f".repeat(24) } } });
const code: components["schemas"]["ProblemBody"]["code"] | undefined = nobody.error?.code;
see(code === "not_found", "a problem");
const wrong = await client.PUT("/v1/users/{userId}/preferences", { ...user, body: { language: "none at all" } });
see(wrong.error?.errors?.[0]?.pointer === "/language", "a problem names the field");
see(wrong.error.errors[0].code === "malformed", "by a code");

// What the document forbids does not compile.
// @ts-expect-error: there is no such field
const _surname: components["schemas"]["UserPatch"] = { surname: "B." };
// @ts-expect-error: a step that replaces needs a value
const _step: components["schemas"]["JsonPatchOperation"] = { op: "replace", path: "/name" };
// @ts-expect-error: a project always has a name
const _name: components["schemas"]["ProjectPatch"] = { name: null };
// @ts-expect-error: there is no such code
const _code: components["schemas"]["ProblemBody"]["code"] = "no_such_code";
console.log("told");
