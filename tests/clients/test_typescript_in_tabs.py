"""The TypeScript client in the tabs of chromium: the to-do app in two windows, storage that is
blocked, sign-outs and guests."""

import shutil
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.clients.desk import APP, code_for, invite, token_for
from tests.serving import Served

pytestmark = [
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on PATH (make test does)"),
    pytest.mark.skipif(
        shutil.which("chromium") is None, reason="chromium is not on PATH (make test does)"
    ),
]


class Person:
    """Somebody with the to-do app."""

    def __init__(self, context: BrowserContext, satchel: Served, site: str, email: str) -> None:
        self.context, self.satchel, self.email = context, satchel, email
        self.url = f"{site}/index.html?server={satchel.url}"

    def open(self) -> Page:
        page = self.context.new_page()
        page.goto(self.url)
        return page

    def sign_in(self, page: Page) -> None:
        page.fill("#email", self.email)
        page.click("#sign-in button")
        expect(page.locator("#verify")).to_be_visible()
        page.fill("#code", code_for(self.satchel, self.email))
        page.click("#verify button")
        expect(page.locator("#add")).to_be_visible()


def add(page: Page, title: str) -> None:
    page.fill("#title", title)
    page.click("#add button")
    expect(titles(page).last).to_have_value(title)


def titles(page: Page) -> Any:
    return page.locator("#todos input[type=text]")


def live(page: Page) -> None:
    expect(page.locator("#status")).to_have_text("live", timeout=15_000)


def test_the_to_do_app_in_two_windows_offline_and_killed(
    browser: Browser, satchel: Served, site: str
) -> None:
    with browser.new_context() as one, browser.new_context() as two:
        ann = Person(one, satchel, site, "ann.todo@example.com")
        first, second = ann.open(), ann.open()
        ann.sign_in(first)
        expect(second.locator("#add")).to_be_visible()  # the other tab is signed in with it
        live(first)
        add(first, "milk")
        expect(titles(second)).to_have_value("milk")

        other = Person(two, satchel, site, ann.email).open()
        other.evaluate(
            "(pair) => localStorage.setItem(...pair)",
            [
                f"satchel:{satchel.url}:tokens",
                first.evaluate(f"localStorage.getItem('satchel:{satchel.url}:tokens')"),
            ],
        )
        other.reload()
        live(other)
        expect(titles(other)).to_have_value("milk")
        titles(other).fill("oat milk")
        titles(other).blur()
        expect(titles(first)).to_have_value("oat milk")

        first.wait_for_function("navigator.serviceWorker.controller !== null")
        one.set_offline(True)
        first.locator("#todos input[type=checkbox]").check()
        expect(first.locator("#todos li.pending")).to_have_count(1)  # it is kept, and waits
        titles(other).fill("soy milk")
        titles(other).blur()
        first.reload()  # without a network: the page from its worker, the data from its cache
        expect(first.locator("#todos input[type=checkbox]")).to_be_checked()
        add(first, "bread")
        expect(first.locator("#todos li.pending")).to_have_count(2)
        second.close()
        first.close()  # in the middle of its outbox
        one.set_offline(False)
        first = ann.open()
        live(first)
        for page in (first, other):
            expect(titles(page)).to_have_count(2)
            assert [titles(page).nth(place).input_value() for place in (0, 1)] == [
                "soy milk",
                "bread",
            ]
            expect(page.locator("#todos input[type=checkbox]").first).to_be_checked()

        first.click("#sign-out")
        expect(first.locator("#sign-in")).to_be_visible()
        names = first.evaluate("indexedDB.databases().then((all) => all.map(({ name }) => name))")
        assert [name for name in names if "todo" in name] == []


BLOCKED = """
for (const name of ["localStorage", "sessionStorage", "indexedDB"]) {
  const get = () => { throw new DOMException("blocked", "SecurityError"); };
  Object.defineProperty(window, name, { get });
}
crypto.randomUUID = undefined; // as on pages without TLS
"""


def test_a_browser_that_keeps_nothing(browser: Browser, satchel: Served, site: str) -> None:
    """What is written lasts as long as the page, and is sent."""
    with browser.new_context() as context:
        context.add_init_script(BLOCKED)
        bob = Person(context, satchel, site, "bob.private@example.com")
        page = bob.open()
        bob.sign_in(page)
        page.evaluate(
            "crypto.randomUUID = () => `${Math.random()}`.slice(2)"
        )  # the page's own need
        add(page, "milk")
        live(page)
        expect(page.locator("#todos li.pending")).to_have_count(0)
        (user,) = satchel.get("/v1/users", email=bob.email)["items"]
        (kept,) = satchel.get(f"/v1/users/{user['id']}/apps/todo/data")["items"]
        assert kept["value"]["title"] == "milk"


SIGNS_OUT = """async ([url, appId, pair, userId]) => {
  const { Session, openStore } = await import("/satchel-client.min.js");
  let release, asked;
  const [held, isAsked] = [new Promise((go) => (release = go)), new Promise((go) => (asked = go))];
  const slow = async (request) => {
    const answer = await fetch(new Request(request, { signal: null }));
    if (new URL(request.url).pathname.endsWith("/changes")) { asked(); await held; }
    return answer;
  };
  const session = new Session(url, { fetch: slow });
  session.use(pair);
  const store = openStore(session, appId, { onConflict: () => undefined });
  await isAsked;
  await store.put("n1", "unsent");
  await session.signOut({ discardUnsent: true });
  release();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const names = (await indexedDB.databases()).map(({ name }) => name);
  return [session.userId, names.filter((name) => name.includes(userId))];
}"""


def test_signing_out_while_an_answer_is_awaited_leaves_nothing(
    scenarios_page: Page, satchel: Served
) -> None:
    """What comes after it brings nothing back."""
    email = "cleo.leaves@example.com"
    user = satchel.post("/v1/users", {"email": email})
    satchel.post(
        f"/v1/users/{user['id']}/apps/{APP}/batch", {"writes": [{"dataKey": "n0", "value": 1}]}
    )
    world = [satchel.url, APP, token_for(satchel, email), user["id"]]
    assert scenarios_page.evaluate(SIGNS_OUT, world) == [None, []]


SHOWS = """async ([url, appId, cache]) => {
  const { Session, openStore } = await import("/satchel-client.min.js");
  window.session = new Session(url);
  window.store = openStore(session, appId, { cache, onConflict: () => undefined });
  store.watch("", (entries) => (window.shown = entries.map(({ key }) => key)));
  await store.flush();
}"""
SIGNS_IN = """async ([url, pair]) => {
  const { Session } = await import("/satchel-client.min.js");
  window.session = new Session(url);
  session.use(pair);
}"""
READS = """async () => [
  await store.get("n0").then(String, ({ name }) => name),
  await store.list().then(String, ({ name }) => name),
  store.status,
]"""


@pytest.mark.parametrize("cache", ["indexeddb", "memory"])
def test_signing_out_in_one_tab_takes_the_data_off_another(
    browser: Browser, satchel: Served, site: str, cache: str
) -> None:
    """Without the app of that tab doing anything."""
    email = f"dora.{cache}@example.com"
    user = satchel.post("/v1/users", {"email": email})
    writes = {"writes": [{"dataKey": "n0", "value": 1}]}
    satchel.post(f"/v1/users/{user['id']}/apps/{APP}/batch", writes)
    with browser.new_context() as context:
        one, other = context.new_page(), context.new_page()
        for page in (one, other):
            page.goto(f"{site}/scenarios.html")
        one.evaluate(SIGNS_IN, [satchel.url, token_for(satchel, email)])
        other.evaluate(SHOWS, [satchel.url, APP, cache])
        other.wait_for_function("window.shown?.[0] === 'n0'")
        one.evaluate("session.signOut()")
        other.wait_for_function("window.shown.length === 0")
        assert other.evaluate(READS) == ["SignedOut", "SignedOut", "signedOut"]


BEGINS = """async ([url]) => {
  const { Session, NoGuest } = await import("/satchel-client.min.js");
  const session = new Session(url);
  const none = await session.mergeGuest().catch((error) => error instanceof NoGuest);
  const [one, other] = await Promise.all([session.beginAsGuest(), new Session(url).beginAsGuest()]);
  return [none, one.userId === other.userId, session.isGuest, session.guestId];
}"""


def test_a_browser_begins_as_one_guest(browser: Browser, satchel: Served, site: str) -> None:
    """In however many tabs at once."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{site}/scenarios.html")
        assert page.evaluate(BEGINS, [satchel.url]) == [True, True, True, None]


AS_GUEST = """async ([url, appId, email]) => {
  const { Session, openStore } = await import("/satchel-client.min.js");
  window.session = new Session(url);
  const { userId } = await session.beginAsGuest();
  const store = openStore(session, appId, { onConflict: () => undefined });
  await store.put("n1", "the guest's");
  await store.flush();
  return [userId, (await session.requestCode({ email })).challengeId];
}"""
SIGNS_IN_BY_CODE = """async (answer) => {
  const { guest } = await session.signIn(...answer);
  return [guest.state, guest.conflicts[0].dataKey, session.guestId];
}"""
FORGETS = """async (userId) => {
  const names = (await indexedDB.databases()).map(({ name }) => name);
  await session.forgetGuest();
  const left = (await indexedDB.databases()).map(({ name }) => name);
  const holds = (all) => all.some((name) => name.includes(userId));
  return [holds(names), holds(left), session.guestId];
}"""


def test_a_guest_whom_a_sign_in_has_kept_is_forgotten_when_it_is_said(
    browser: Browser, satchel: Served, site: str
) -> None:
    email = "ezra.kept@example.com"
    invite(satchel, email)
    (user,) = satchel.get("/v1/users", email=email)["items"]
    writes = {"writes": [{"dataKey": "n1", "value": "the person's"}]}
    satchel.post(f"/v1/users/{user['id']}/apps/{APP}/batch", writes)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{site}/scenarios.html")
        guest, challenge = page.evaluate(AS_GUEST, [satchel.url, APP, email])
        answer = [challenge, code_for(satchel, email)]
        assert page.evaluate(SIGNS_IN_BY_CODE, answer) == ["kept", "n1", guest]
        assert page.evaluate(FORGETS, guest) == [True, False, None]
