import type { World } from "./scenarios.js";

/** The world with the harness's desk, which knows codes and gets tokens. */
export function worldOf(url: string, appId: string, desk: string): World {
  const ask = async (what: string, email: string): Promise<Response> =>
    await fetch(`${desk}/${what}?email=${encodeURIComponent(email)}`);
  return {
    url,
    appId,
    code: async (email) => await (await ask("code", email)).text(),
    restart: async () => {
      await (await fetch(`${desk}/restart`)).text();
    },
    token: async (email) => (await (await ask("token", email)).json()) as { accessToken: string; userId: string },
  };
}
