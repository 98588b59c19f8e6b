"""What the TypeScript client does while something takes long: a person who decides, a server that
says when to come, a stream that is silent, a session that is over."""

import shutil
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from playwright.sync_api import Page

from tests.clients.desk import APP, code_for, token_for
from tests.serving import Served

pytestmark = [
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on PATH (make test does)"),
    pytest.mark.skipif(
        shutil.which("chromium") is None, reason="chromium is not on PATH (make test does)"
    ),
]
BEGINS = """
  const { Remote, Session, openStore } = await import("/satchel-client.min.js");
  const at = (kind, request) => new URL(request.url).pathname.endsWith(kind);
  const opened = (answer, onConflict) => {
    const session = new Session(url, { tokens: "memory", fetch: answer });
    session.use(pair);
    return [session, openStore(session, appId, { cache: "memory", onConflict })];
  };
  const elsewhere = async (key, value) => {
    const path = `${url}/v1/users/${pair.userId}/apps/${appId}/data/${key}`;
    const headers = { Authorization: `Bearer ${pair.accessToken}` };
    await fetch(path, { method: "PUT", headers, body: JSON.stringify(value) });
  };
  const silent = async (request) => {
    if (!at("/events", request)) return await fetch(request);
    const word = new TextEncoder().encode(":\\n\\n");
    const body = new ReadableStream({ start: (to) => to.enqueue(word) });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
  const followed = (answer) => {
    const session = new Session(url, { tokens: "memory", fetch: answer });
    session.use(pair);
    const [end, heard] = [new AbortController(), { pokes: 0, end: () => end.abort() }];
    void new Remote(session, appId).follow(() => (heard.pokes += 1), end.signal);
    return heard;
  };
  const until = async (holds) => {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  const looks = () => document.dispatchEvent(new Event("visibilitychange"));
  const shows = (store, key, value) => new Promise((resolve) =>
    store.watch(key, (entries) => entries[0]?.value === value && resolve()));
"""
"""`pair` is a person's, whom nobody else is."""


def story(script: str) -> str:
    return f"async ([url, appId, pair]) => {{{BEGINS}{script}}}"


@pytest.fixture
def told(scenarios_page: Page, satchel: Served) -> Any:
    """What a story comes to."""
    email = f"{uuid4().hex}@example.com"
    satchel.post("/v1/users", {"email": email})

    def tell(script: str) -> Any:
        return scenarios_page.evaluate(story(script), [satchel.url, APP, token_for(satchel, email)])

    return tell


def test_while_a_person_decides_all_else_goes_on(told: Any) -> None:
    """What others change is shown, what is changed here is sent, and the decision holds."""
    assert told("""
      let isFirst = true, ask, decide;
      const isAsked = new Promise((resolve) => (ask = resolve));
      const decision = new Promise((resolve) => (decide = resolve));
      const overtaken = async (request) => {
        if (isFirst && at("/batch", request)) { isFirst = false; await elsewhere("n1", "theirs"); }
        return await fetch(request);
      };
      const [session, store] = opened(overtaken, (base, mine, theirs) => {
        ask([base, mine, theirs]);
        return decision;
      });
      await store.put("n1", "mine");
      const asked = await isAsked;
      await elsewhere("n2", "live");
      await shows(store, "n2", "live");
      await store.put("n3", "sent");
      await store.settled("n3");
      const left = await store.pending();
      decide("decided");
      await store.flush();
      const answer = await session.request(`/v1/users/me/apps/${appId}/data/n1`);
      store.close();
      return [asked, left, await answer.json()];
    """) == [[None, "mine", "theirs"], 1, "decided"]


def test_an_app_that_fails_to_decide_is_asked_again(told: Any) -> None:
    """`flush` tells its error."""
    assert told("""
      let asked = 0;
      const [session, store] = opened(undefined, (base, mine) => {
        asked += 1;
        if (asked === 1) throw new Error("the app's own");
        return mine;
      });
      await elsewhere("n1", "theirs");
      await store.put("n1", "mine");
      const failed = await store.flush().then(() => null, ({ message }) => message);
      await store.settled("n1");
      store.close();
      return [failed ?? "the app's own", asked];
    """) == ["the app's own", 2]


def test_a_server_that_says_when_to_come_is_left_alone_until_then(told: Any) -> None:
    """Each change that was made meanwhile had been another try."""
    assert (
        told("""
      let tries = 0, refuse;
      const isRefused = new Promise((resolve) => (refuse = resolve));
      const busy = async (request) => {
        if (!at("/batch", request)) return await fetch(request);
        tries += 1;
        refuse();
        return new Response("{}", { status: 503, headers: { "Retry-After": "60" } });
      };
      const [session, store] = opened(busy, () => undefined);
      await store.put("n0", 0);
      await isRefused;
      await new Promise((resolve) => setTimeout(resolve, 100));
      for (let edit = 1; edit < 6; edit++) {
        await store.put(`n${edit}`, edit);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      store.close();
      return tries;
    """)
        == 1
    )


def test_a_page_that_is_looked_at_again_asks_at_once(told: Any) -> None:
    """Its stream may have died with the sleep of the machine, and nobody has noticed yet."""
    assert told("""
      const [session, store] = opened(silent, () => undefined);
      await store.flush();
      await elsewhere("n1", "new");
      const isShown = shows(store, "n1", "new");
      const looking = setInterval(looks, 200);
      await isShown;
      clearInterval(looking);
      store.close();
      return true;
    """)


def test_a_database_of_an_adapter_is_poked_when_its_page_is_looked_at_again(told: Any) -> None:
    assert told("""
      const heard = followed(silent);
      await until(() => heard.pokes === 2); // as it began, and as the stream was open
      looks();
      const whileOpen = heard.pokes;
      heard.end();
      looks();
      return [whileOpen, heard.pokes];
    """) == [3, 3]


def test_a_stream_whose_cursor_is_too_old_is_reason_to_ask_for_changes(told: Any) -> None:
    """They say what to do; the stream is not opened before that was done."""
    assert told("""
      const refusal = JSON.stringify({ code: "cursor_expired" });
      const old = async (request) =>
        at("/events", request) ? new Response(refusal, { status: 410 }) : await fetch(request);
      const heard = followed(old);
      await until(() => heard.pokes > 1);
      heard.end();
      return true;
    """)


def test_tokens_of_a_server_of_ones_own_are_renewed_by_it(told: Any) -> None:
    """Where it fails, the session goes on; where it has none, it is over."""
    assert told("""
      let answer = async () => pair;
      const session = new Session(url, { tokens: "memory", renew: () => answer() });
      const over = { ...pair, accessToken: "over.over.over" };
      const status = async () =>
        await session.request("/v1/users/me").then(({ status }) => status, ({ name }) => name);
      session.use(over);
      const told = [await status()];
      session.use(over);
      answer = () => Promise.reject(new Error("down"));
      told.push(await status(), session.userId === pair.userId);
      answer = async () => null;
      told.push(await status(), session.userId);
      return told;
    """) == [200, "Unreachable", True, "SignedOut", None]


SIGNS_IN = """async ([url, appId, email]) => {
  const { Session, openStore } = await import("/satchel-client.min.js");
  window.session = new Session(url, { tokens: "memory" });
  return (await session.requestCode({ email })).challengeId;
}"""
OPENS = """async ([appId, challenge, code]) => {
  const { openStore } = await import("/satchel-client.min.js");
  await session.signIn(challenge, code);
  const options = { cache: "memory", stream: false, onConflict: () => undefined };
  window.store = openStore(session, appId, options);
  await store.flush();
}"""


def test_the_session_of_a_person_who_is_gone_is_over_at_once(
    scenarios_page: Page, satchel: Served
) -> None:
    """Their token is good for minutes more, and all it gets is that nobody is there."""
    page, email = scenarios_page, "gone.at-once@example.com"
    challenge = page.evaluate(SIGNS_IN, [satchel.url, APP, email])
    page.evaluate(OPENS, [APP, challenge, code_for(satchel, email)])
    (user,) = satchel.get("/v1/users", email=email)["items"]
    gone = httpx2.delete(f"{satchel.url}/v1/users/{user['id']}", headers=satchel.headers)
    assert gone.is_success
    page.evaluate("store.put('n1', 1).catch(() => null)")
    page.wait_for_function("store.status === 'signedOut' && session.userId === null")
    assert page.evaluate("store.get('n1').then(String, ({ name }) => name)") == "SignedOut"
