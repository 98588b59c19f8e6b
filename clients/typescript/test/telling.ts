// Tells every scenario in Node, with IndexedDB by fake-indexeddb; says one line a scenario, as JSON.
import "fake-indexeddb/auto";
import { readFileSync } from "node:fs";
import type { Open } from "./device.js";
import { run, type Scenario } from "./scenarios.js";
import { worldOf } from "./world.js";

const { SATCHEL_URL: url = "", SATCHEL_APP: appId = "", DESK_URL: desk = "", SCENARIOS = "" } = process.env;
const AT_ONCE = 3;

/** What is the others' too: a server that goes, a clock that is wrong. */
const SHARED = ["restartServer", "clock"];

/** Tell those that the command line names, or all of them, by one kind of device; then the process ends. */
export async function tellAll(open: Open, patience?: number): Promise<never> {
  const all = SCENARIOS.split(":").flatMap((file) => JSON.parse(readFileSync(file, "utf8")) as Scenario[]);
  const only = new Set(process.argv.slice(2));
  const told = all.filter(({ name }) => only.size === 0 || only.has(name));
  const alone = told.filter(({ steps }) => steps.some((step) => SHARED.some((what) => what in step)));
  const left = told.filter((scenario) => !alone.includes(scenario));
  const some = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await tell(next, open, patience);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, some));
  for (const scenario of alone) await tell(scenario, open, patience);
  process.exit(0);
}

async function tell(scenario: Scenario, open: Open, patience?: number): Promise<void> {
  const failed = await run(scenario, worldOf(url, appId, desk), open, patience).then(
    () => null,
    (error: unknown) => String(error),
  );
  console.log(JSON.stringify({ name: scenario.name, failed }));
}
