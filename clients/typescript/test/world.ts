// The server that the scenarios are told to, and the desk for what is not a client's own.

/** What the harness gives: the server, an app of its own, and the code that was sent to a mailbox. */
export interface World {
  url: string;
  appId: string;
  code(email: string): Promise<string>;
  /** A token that a server of the app got for the person: a second device asks for no second code within a minute. */
  token(email: string): Promise<{ accessToken: string; userId: string }>;
  /** Make somebody whose mailbox is vouched for. */
  invite(email: string): Promise<void>;
  /** Another server in the place of the one that runs. */
  restart(): Promise<void>;
}

/** The world with the harness's desk, which knows codes and gets tokens. */
export function worldOf(url: string, appId: string, desk: string): World {
  const ask = async (what: string, email: string): Promise<Response> =>
    await fetch(`${desk}/${what}?email=${encodeURIComponent(email)}`);
  return {
    url,
    appId,
    code: async (email) => await (await ask("code", email)).text(),
    invite: async (email) => {
      await (await ask("invite", email)).text();
    },
    restart: async () => {
      await (await fetch(`${desk}/restart`)).text();
    },
    token: async (email) => (await (await ask("token", email)).json()) as { accessToken: string; userId: string },
  };
}
