"""The TypeScript client: every scenario in Node and in chromium, the to-do app, its types, size and
package."""

import gzip
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.clients.desk import APP, code_for, desk, register, token_for
from tests.clients.pages import pages
from tests.clients.tools import (
    CLIENT,
    SCENARIOS,
    bundled,
    compiled,
    installed,
    outcomes_of,
    run,
    typed,
)
from tests.serving import ROOT, Served, served

TODO = ROOT / "clients" / "examples" / "todo"
STORIES: list[dict[str, Any]] = json.loads(SCENARIOS.read_text())
NAMES = [story["name"] for story in STORIES]
MOST_BYTES = 20 * 1024
MOST_LINES = 100
_OF_THE_READER = """
declare function render(rows: unknown): void;
declare const userId: string;
"""
"""What the page's examples leave to who reads them."""

pytestmark = [
    pytest.mark.skipif(
        shutil.which("npm") is None, reason="npm is not on PATH (make test installs it)"
    ),
]
in_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (make test does)"
)


@pytest.fixture(scope="module", autouse=True)
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return typed(CLIENT, tmp_path_factory.mktemp("document"))


@pytest.fixture(scope="module")
def satchel(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(
        mongodb_uri,
        tmp_path_factory.mktemp("typescript client"),
        cors_origins='["*"]',
        otp_per_client_per_hour="1000",
    ) as found:
        register(found)
        yield found


@pytest.fixture(scope="module")
def at_desk(satchel: Served) -> Iterator[str]:
    with desk(satchel) as url:
        yield url


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The to-do app with the client's bundle, and the scenarios' page."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(TODO, folder, dirs_exist_ok=True)
    bundle(folder / "satchel-client.min.js")
    bundled(CLIENT, "test/browser.ts", folder / "scenarios.js", "--format=esm")
    (folder / "scenarios.html").write_text(
        '<!doctype html><script type="module" src="scenarios.js"></script>'
    )
    with pages(folder) as url:
        yield url


def bundle(target: Path) -> Path:
    """The client as a page has it."""
    return bundled(CLIENT, "src/index.ts", target, "--format=esm", "--minify")


@pytest.fixture(scope="module")
def outcomes(
    satchel: Served, at_desk: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str | None]:
    """What failed in each scenario in Node, by its name; None where it held."""
    folder = tmp_path_factory.mktemp("node")
    script = bundled(CLIENT, "test/node.ts", folder / "node.mjs", "--platform=node", "--format=esm")
    world = {"SATCHEL_URL": satchel.url, "SATCHEL_APP": APP, "DESK_URL": at_desk}
    return outcomes_of(script, SCENARIOS, folder=folder, world=world)


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_in_node(outcomes: dict[str, str | None], name: str) -> None:
    assert outcomes[name] is None


@pytest.fixture(scope="module")
def scenarios_page(browser: Browser, site: str) -> Iterator[Page]:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{site}/scenarios.html")
        page.wait_for_function("window.runScenario")
        yield page


@in_chromium
@pytest.mark.parametrize("scenario", STORIES, ids=NAMES)
def test_a_scenario_in_chromium(
    scenarios_page: Page, satchel: Served, at_desk: str, scenario: dict[str, Any]
) -> None:
    world = [scenario, satchel.url, APP, at_desk]
    assert scenarios_page.evaluate("(world) => window.runScenario(...world)", world) is None


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


@in_chromium
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


@in_chromium
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


@in_chromium
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


@in_chromium
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


@in_chromium
def test_a_browser_begins_as_one_guest(browser: Browser, satchel: Served, site: str) -> None:
    """In however many tabs at once."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{site}/scenarios.html")
        assert page.evaluate(BEGINS, [satchel.url]) == [True, True, True, None]


def test_the_to_do_app_is_short() -> None:
    script = (
        (TODO / "index.html")
        .read_text()
        .partition('<script type="module">')[2]
        .partition("</script>")[0]
    )
    assert 0 < len([line for line in script.splitlines() if line.strip()]) < MOST_LINES


def test_it_compiles_strictly_with_the_types_of_this_tree(schema: Path) -> None:
    assert "/v1/users/{userId}/apps/{appId}/batch" in schema.read_text()
    compiled(CLIENT, "test")


def test_the_examples_of_its_page_compile_strictly(tmp_path: Path) -> None:
    page = (CLIENT / "README.md").read_text()
    examples = re.findall(r"```ts\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 3
    for place, example in enumerate(examples):
        (tmp_path / f"example-{place}.mts").write_text(example + _OF_THE_READER)
    paths = {"satchel-client": [str(CLIENT / "src" / "index.ts")]}
    options = {
        "noEmit": True,
        "noUnusedLocals": False,
        "declaration": False,
        "rootDir": "/",
        "paths": paths,
    }
    project = {"extends": str(CLIENT / "tsconfig.json"), "compilerOptions": options}
    (tmp_path / "tsconfig.json").write_text(json.dumps({**project, "include": ["*.mts"]}))
    compiled(CLIENT, str(tmp_path))


def test_all_that_is_public_says_what_it_is() -> None:
    assert run("node", "documented.mjs", folder=CLIENT).strip() == ""


def test_the_bundle_is_small(tmp_path: Path) -> None:
    size = len(gzip.compress(bundle(tmp_path / "client.js").read_bytes()))
    assert size < MOST_BYTES


def test_the_package_works_in_an_empty_project(tmp_path: Path) -> None:
    """Packed as it would be published, unpacked as npm does, beside what it depends on."""
    package = tmp_path / "package"
    shutil.copytree(CLIENT, package, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (package / "node_modules").symlink_to(CLIENT / "node_modules")
    run("npm", "run", "--silent", "build", folder=package)
    project = tmp_path / "project" / "node_modules"
    installed(package, project, "satchel-client")
    for name in json.loads((CLIENT / "package.json").read_text())["dependencies"]:
        (project / name).symlink_to(CLIENT / "node_modules" / name)
    told = json.loads(run("npm", "pack", "--dry-run", "--json", "--ignore-scripts", folder=package))
    assert {
        "dist/index.js",
        "dist/index.d.ts",
        "dist/schema.d.ts",
        "README.md",
        "CHANGELOG.md",
    } <= {file["path"] for file in told[0]["files"]}
    (project.parent / "smoke.mjs").write_text(
        "import { mergeFields, Session } from"
        ' "satchel-client";\nconsole.log(JSON.stringify(mergeFields({ a: 1 }, { a: 2 }, { a: 1, b:'
        ' 3 })), new Session("http://x/").url);\n'
    )
    assert run("node", "smoke.mjs", folder=project.parent) == '{"a":2,"b":3} http://x\n'
