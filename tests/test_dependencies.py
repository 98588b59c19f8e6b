"""What is imported is declared."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ROOMS = ("app", "indexes", "models", "scripts")


def test_what_is_imported_is_declared() -> None:
    """What another package happens to bring along is gone with its next release."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {name_of(line) for line in project["dependencies"]}
    every = needed.union(
        *(map(name_of, lines) for lines in project["optional-dependencies"].values())
    )
    packages = packages_distributions()
    undeclared = [
        f"{path.relative_to(ROOT)} imports {name}"
        for room in (*ROOMS, "tests")
        for path in (ROOT / room).rglob("*.py")
        if not path.match(
            "tests/clients/story*.py"
        )  # they run in an environment of their own, on generated packages
        for name in (
            imported(ast.parse(path.read_text()))
            - sys.stdlib_module_names
            - {*ROOMS, "tests", "satchel_client"}
        )
        if not {canonicalize_name(each) for each in packages.get(name, [])}
        & (every if room == "tests" else needed)
    ]
    assert undeclared == []


def name_of(line: str) -> str:
    return canonicalize_name(re.split(r"[\[<>=;!~ ]", line, maxsplit=1)[0])


def imported(tree: ast.Module) -> set[str]:
    """The packages that a file imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.split(".")[0] for name in found}
