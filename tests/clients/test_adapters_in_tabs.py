"""The adapters in two tabs of a browser, over one database of it."""

import shutil
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.clients.desk import APP, register, token_for
from tests.clients.pages import pages
from tests.clients.tools import ADAPTERS, CLIENT, bundled
from tests.serving import Served, served

NAMES = ("rxdb", "tanstack-db")
"""WatermelonDB's database of browsers, LokiJS, is for one tab."""
_PATIENCE = 30_000
_PAGE = '<!doctype html><link rel="icon" href="data:,"><script type="module" src="{}.js"></script>'

pytestmark = [
    pytest.mark.skipif(
        shutil.which("npm") is None, reason="npm is not on PATH (make test installs it)"
    ),
    pytest.mark.skipif(
        shutil.which("chromium") is None, reason="chromium is not on PATH (make test installs it)"
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tabs")
    for name in NAMES:
        bundled(
            ADAPTERS,
            "test/tabs.ts",
            folder / f"{name}.js",
            "--format=esm",
            "--main-fields=module,main",
            f"--alias:satchel-client={CLIENT / 'src' / 'index.ts'}",
            f"--alias:adapter-under-test=./test/{name}.ts",
            "--log-level=error",
        )
        (folder / f"{name}.html").write_text(_PAGE.format(name))
    with pages(folder) as url:
        yield url


@pytest.fixture(scope="module")
def satchel(
    mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory, site: str
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("adapters in tabs")
    with served(mongodb_uri, folder, cors_origins=f'["{site}"]') as found:
        register(found)
        yield found


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        yield context


@pytest.mark.parametrize("name", NAMES)
def test_two_tabs_keep_one_database(
    browser: Browser, context: BrowserContext, satchel: Served, site: str, name: str
) -> None:
    email = f"{uuid4().hex}@example.com"
    satchel.post("/v1/users", {"email": email})
    tokens = token_for(satchel, email)

    def tab(context: BrowserContext, brought: dict[str, Any] | None) -> Page:
        page = context.new_page()
        page.goto(f"{site}/{name}.html")
        page.wait_for_function("'enter' in window")
        entered = [satchel.url, APP, f"tabs{tokens['userId']}", brought]
        page.evaluate("(entered) => enter(...entered)", entered)
        return page

    first, second = tab(context, tokens), tab(context, None)
    first.evaluate("kit.put('n1', { title: 'one', body: '' })")
    shows(second, {"n1": {"title": "one", "body": ""}})
    context.set_offline(True)
    second.evaluate("kit.put('n2', { title: 'two' })")
    first.evaluate("kit.patch('n1', { title: 'ONE' })")
    shows(first, {"n1": {"title": "ONE", "body": ""}, "n2": {"title": "two"}})
    context.set_offline(False)
    first.close()  # the one that sent, and listened
    second.evaluate("kit.put('n3', { title: 'three' })")
    left = {"n1": {"title": "ONE", "body": ""}, "n2": {"title": "two"}, "n3": {"title": "three"}}
    shows(second, left)
    second.wait_for_function("() => kit.pending().then((count) => count === 0)", timeout=_PATIENCE)
    with browser.new_context() as elsewhere:  # has what the server has
        shows(tab(elsewhere, token_for(satchel, email)), left)


def shows(page: Page, expected: dict[str, Any]) -> None:
    """Wait until a tab has this."""
    page.wait_for_function(
        """async (expected) => {
            const sorted = (found) => JSON.stringify(Object.entries(found).sort(), (_, value) =>
                value?.constructor === Object
                    ? Object.fromEntries(Object.entries(value).sort()) : value);
            return sorted(await kit.contents()) === sorted(expected);
        }""",
        arg=expected,
        timeout=_PATIENCE,
    )
