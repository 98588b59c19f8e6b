// `node node.js`: every scenario in Node, with IndexedDB by fake-indexeddb; says one line a scenario, as JSON.
import "fake-indexeddb/auto";
import { readFileSync } from "node:fs";
import { run, type Scenario } from "./scenarios.js";
import { worldOf } from "./world.js";

const { SATCHEL_URL: url = "", SATCHEL_APP: appId = "", DESK_URL: desk = "", SCENARIOS: file = "" } = process.env;
for (const scenario of JSON.parse(readFileSync(file, "utf8")) as Scenario[]) {
  const failed = await run(scenario, worldOf(url, appId, desk)).then(
    () => null,
    (error: unknown) => String(error),
  );
  console.log(JSON.stringify({ name: scenario.name, failed }));
}
process.exit(0);
