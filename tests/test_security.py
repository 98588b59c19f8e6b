"""The security page promises nothing that no test holds."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "SECURITY.md").read_text()


def promises() -> list[tuple[str, list[str]]]:
    """Each promise with the tests that it names."""
    part = PAGE.split("## Promises")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", part, re.MULTILINE)[1:]
    return [(promise, re.findall(r"`([^`]+)`", tests)) for promise, tests in rows]


def has_test(named: str) -> bool:
    path, _, name = named.partition("::")
    file = ROOT / "tests" / path
    if not file.is_file():
        return False
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(file.read_text())
    return any(isinstance(each, functions) and each.name == name for each in tree.body)


def test_every_promise_names_tests_and_each_of_them_is_there() -> None:
    found = promises()
    assert len(found) >= 15
    assert [promise for promise, tests in found if not tests] == []
    assert [each for _, tests in found for each in tests if not has_test(each)] == []


def test_a_test_that_is_not_there_is_seen() -> None:
    assert not has_test("test_security.py::test_nothing")
    assert not has_test("nowhere.py::test_a_test_that_is_not_there_is_seen")


def test_the_page_says_how_to_report_and_which_commands_there_are() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "## Reporting a fault" in PAGE
    for command in re.findall(r"`make (\w+)`", PAGE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
