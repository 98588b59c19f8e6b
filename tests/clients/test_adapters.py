"""The adapters: every scenario by each of them against a real server, their types and their
package."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.desk import APP, desk, register
from tests.clients.tools import (
    ADAPTERS,
    CLIENT,
    SCENARIOS,
    bundled,
    compiled,
    installed,
    outcomes_of,
    run,
    typed,
)
from tests.serving import served

FILES = (SCENARIOS, ADAPTERS / "test" / "stories.json")
STORIES: list[dict[str, Any]] = [story for file in FILES for story in json.loads(file.read_text())]
NAMES = ("rxdb", "watermelondb", "tanstack-db")
LEFT_OUT = {
    "what the server would refuse is refused before it is kept or sent": "the databases keep what"
    " they are given, as rows of fields, before an adapter sees it; it is refused when it is sent",
    "a quota: who knows of it refuses at once, who does not is told, and nothing is held up": "the"
    " same, and its values are no rows; the adapters have a story of their own of a quota",
    "a page of a proxy is no word of the server's: nothing is refused by it": "its value is no row;"
    " the adapters have the same story with one",
    **dict.fromkeys(
        (
            "what a guest has not sent is sent by whom they are then",
            "what a guest has not sent survives the sign-in and a restart",
        ),
        "a database that keeps what was not sent by itself has it sent before a guest signs in",
    ),
}
"""By story, why no adapter can tell it."""
_OF_THE_READER = """
declare function render(rows: unknown): void;
declare function adapterOf(schema: unknown): import("@nozbe/watermelondb").DatabaseAdapter;
"""
"""What the pages' examples leave to who reads them."""

pytestmark = pytest.mark.skipif(
    shutil.which("npm") is None, reason="npm is not on PATH (make test installs it)"
)


@pytest.fixture(scope="module")
def world(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server with the stories' apps, and the desk."""
    folder = tmp_path_factory.mktemp("adapters")
    often, patient = "1000", "30000"
    with (
        served(
            mongodb_uri, folder, otp_per_client_per_hour=often, request_timeout_ms=patient
        ) as found,
        desk(found) as url,
    ):
        register(found)
        yield {"SATCHEL_URL": found.url, "SATCHEL_APP": APP, "DESK_URL": url}


@pytest.fixture(scope="module")
def outcomes(
    world: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], str | None]:
    """What failed in each story, by adapter and name; None where it held."""
    folder = tmp_path_factory.mktemp("bundles")
    return {
        (adapter, name): failed
        for adapter in NAMES  # one after another: a story restarts the server
        for name, failed in outcomes_of(
            runner(adapter, folder), *FILES, folder=folder, world=world
        ).items()
    }


def runner(adapter: str, folder: Path) -> Path:
    """The stories' runner with one adapter, and the client as it is in this tree."""
    return bundled(
        ADAPTERS,
        "test/node.ts",
        folder / f"{adapter}.cjs",
        "--platform=node",
        "--format=cjs",
        "--main-fields=module,main",
        f"--alias:satchel-client={CLIENT / 'src' / 'index.ts'}",
        f"--alias:adapter-under-test=./test/{adapter}.ts",
        "--log-level=error",
    )


CASES = [
    (adapter, story["name"])
    for adapter in NAMES
    for story in STORIES
    if story["name"] not in LEFT_OUT
]


@pytest.mark.parametrize(("adapter", "name"), CASES)
def test_a_story(outcomes: dict[tuple[str, str], str | None], adapter: str, name: str) -> None:
    assert outcomes[adapter, name] is None


def test_what_is_left_out_is_a_story() -> None:
    assert set(LEFT_OUT) <= {story["name"] for story in STORIES}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both packages as they are in this tree, with the types of its document."""
    folder = tmp_path_factory.mktemp("packages")
    for source in (CLIENT, ADAPTERS):
        target = folder / source.name
        ignored = shutil.ignore_patterns("node_modules", "dist", ".build", "*.tgz")
        shutil.copytree(source, target, ignore=ignored)
        (target / "node_modules").symlink_to(source / "node_modules")
    typed(folder / "typescript", folder)
    compiled(folder / "typescript", ".")
    run("node", "copy-types.mjs", folder=folder / "typescript")
    return folder / "adapters"


def test_they_and_their_pages_compile_strictly(tree: Path) -> None:
    for adapter in NAMES:
        example = (tree / f"{adapter}.md").read_text().partition("```ts\n")[2].partition("```")[0]
        assert "satchel-adapters/" in example
        (tree / "test" / f"page-of-{adapter}.ts").write_text(example + _OF_THE_READER)
    compiled(tree, "test")


def test_the_package_works_in_an_empty_project(tree: Path) -> None:
    """Packed as it would be published, unpacked as npm does, beside what it is for."""
    run("npm", "run", "--silent", "build", folder=tree)
    modules = tree.parent / "project" / "node_modules"
    installed(tree, modules, "satchel-adapters")
    for each in (ADAPTERS / "node_modules").iterdir():
        (modules / each.name).symlink_to(each)
    (modules / "satchel-client").symlink_to(tree.parent / "typescript")
    for adapter in NAMES:
        smoke = f'import * as adapter from "satchel-adapters/{adapter}";\nconsole.log(adapter);\n'
        (modules.parent / "smoke.mjs").write_text(smoke)
        assert "atchel" in run("node", "smoke.mjs", folder=modules.parent)
        assert (modules / "satchel-adapters" / f"{adapter}.md").exists()
