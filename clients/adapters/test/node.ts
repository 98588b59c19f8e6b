// `node node.mjs`: the stories by one adapter; says one line a story, as JSON.
import "fake-indexeddb/auto";
import { readFileSync } from "node:fs";
import { worldOf } from "../../typescript/test/world.js";
import { run, type Story } from "./run.js";
import { open } from "adapter-under-test";

const { SATCHEL_URL: url = "", SATCHEL_APP = "", DESK_URL: desk = "", SCENARIOS = "" } = process.env;
const AT_ONCE = 4;

const stories = SCENARIOS.split(":").flatMap((file) => JSON.parse(readFileSync(file, "utf8")) as Story[]);
const only = new Set(process.argv.slice(2));
const left = stories.filter(({ name }) => only.size === 0 || only.has(name));

async function tell(story: Story): Promise<void> {
  const failed = await run(story, worldOf(url, story.app ?? SATCHEL_APP, desk), open).then(
    () => null,
    (error: unknown) => String(error),
  );
  console.log(JSON.stringify({ name: story.name, failed }));
}

async function some(): Promise<void> {
  for (let story = left.shift(); story !== undefined; story = left.shift()) await tell(story);
}

void Promise.all(Array.from({ length: AT_ONCE }, some)).then(() => process.exit(0));
