// A page's script: `runScenario(scenario, url, appId, desk)` says what failed, or null.
import { run, type Scenario } from "./scenarios.js";
import { open } from "./store.js";
import { worldOf } from "./world.js";

Object.assign(globalThis, {
  runScenario: async (scenario: Scenario, url: string, appId: string, desk: string): Promise<string | null> =>
    await run(scenario, worldOf(url, appId, desk), open).then(
      () => null,
      (error: unknown) => String(error),
    ),
});
