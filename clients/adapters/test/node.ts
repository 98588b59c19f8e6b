// `node node.mjs`: the stories by one adapter; says one line a story, as JSON.
import "fake-indexeddb/auto";
import { readFileSync } from "node:fs";
import type { Scenario } from "../../typescript/test/scenarios.js";
import { worldOf } from "../../typescript/test/world.js";
import { run } from "./run.js";
import { open } from "adapter-under-test";

const { SATCHEL_URL: url = "", SATCHEL_APP = "", DESK_URL: desk = "", SCENARIOS = "" } = process.env;
const AT_ONCE = 3;

const stories = SCENARIOS.split(":").flatMap((file) => JSON.parse(readFileSync(file, "utf8")) as Scenario[]);
const only = new Set(process.argv.slice(2));
const told = stories.filter(({ name }) => only.size === 0 || only.has(name));
/** Those that restart the server are told alone. */
const alone = told.filter(({ steps }) => steps.some((step) => "restartServer" in step));
const left = told.filter((story) => !alone.includes(story));

async function tell(story: Scenario): Promise<void> {
  const failed = await run(story, worldOf(url, SATCHEL_APP, desk), open).then(
    () => null,
    (error: unknown) => String(error),
  );
  console.log(JSON.stringify({ name: story.name, failed }));
}

async function some(): Promise<void> {
  for (let story = left.shift(); story !== undefined; story = left.shift()) await tell(story);
}

async function all(): Promise<void> {
  await Promise.all(Array.from({ length: AT_ONCE }, some));
  for (const story of alone) await tell(story);
}

void all().then(() => process.exit(0));
