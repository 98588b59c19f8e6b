"""The TypeScript client: every scenario in Node and in chromium, the to-do app, its types, size and
package."""

import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.clients.desk import APP
from tests.clients.tools import (
    CLIENT,
    SCENARIOS,
    TODO,
    bundle,
    bundled,
    compiled,
    installed,
    outcomes_of,
    run,
)
from tests.serving import Served

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
    pytest.mark.usefixtures("schema"),
    pytest.mark.skipif(
        shutil.which("npm") is None, reason="npm is not on PATH (make test installs it)"
    ),
]
in_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (make test does)"
)


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


@in_chromium
@pytest.mark.parametrize("scenario", STORIES, ids=NAMES)
def test_a_scenario_in_chromium(
    scenarios_page: Page, satchel: Served, at_desk: str, scenario: dict[str, Any]
) -> None:
    world = [scenario, satchel.url, APP, at_desk]
    assert scenarios_page.evaluate("(world) => window.runScenario(...world)", world) is None


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
    assert len(examples) == 4
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
    assert f"{size / 1024:.0f} KB gzipped" in (CLIENT / "README.md").read_text()


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
