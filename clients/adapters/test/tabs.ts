// A page's script: `enter(url, appId, name, tokens)` opens an adapter in this tab, of the person whose tokens the first one
// brought.
import { Session } from "satchel-client";
import { open } from "adapter-under-test";
import { Network } from "../../typescript/test/device.js";

type Pair = Parameters<Session["use"]>[0];

Object.assign(globalThis, {
  enter: async (url: string, appId: string, name: string, tokens: Pair | null): Promise<void> => {
    const session = new Session(url);
    if (tokens !== null) session.use(tokens);
    const told = { onConflict: (): void => undefined, onRefused: (): void => undefined };
    const kit = await open({ name, isPersistent: true, session, appId, network: new Network(), ...told });
    Object.assign(globalThis, { kit });
  },
});
