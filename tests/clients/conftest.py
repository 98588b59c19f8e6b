"""What the tests of the TypeScript client have in common: a server, the desk, and a site with the
client's bundle and the to-do app."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.clients.desk import desk, register
from tests.clients.pages import pages
from tests.clients.tools import CLIENT, TODO, bundle, bundled, typed
from tests.serving import Served, served


@pytest.fixture(scope="module")
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
def site(schema: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
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


@pytest.fixture(scope="module")
def scenarios_page(browser: Browser, site: str) -> Iterator[Page]:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{site}/scenarios.html")
        page.wait_for_function("window.runScenario")
        yield page
