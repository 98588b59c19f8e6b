"""How long files and functions are: a file is one thing, and a function one step of it."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = ("app", "indexes", "models", "scripts")
LONGEST_FILE = 350
NINE_OF_TEN = 20
"""Lines of a function that nine of ten do not have more than."""


def python_files(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in (ROOT / room).rglob("*.py")]


def clients() -> list[Path]:
    """The clients' own sources, in whichever language."""
    return [
        path
        for path in (ROOT / "clients").rglob("*")
        if path.suffix in {".py", ".ts", ".mjs"}
        and not {"node_modules", "dist"} & set(path.parts)
        and path.name != "schema.d.ts"
    ]


def test_no_file_is_two_things() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in (*python_files(*CODE, "tests"), *clients())
    }
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def functions() -> Iterator[tuple[int, str]]:
    """How many lines each function of the code has, from its `def` to its end.

    The docstring counts, since a reader passes it on the way to the code; decorators do not, and
    what is within a function counts for both.
    """
    for path in python_files(*CODE, "clients/python"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert node.end_lineno is not None
                where = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                yield node.end_lineno - node.lineno + 1, where


def test_nine_of_ten_functions_are_short() -> None:
    """Cut the longest where a step of it has a name of its own; never squeeze its lines."""
    found = sorted(functions(), reverse=True)
    long = [where for lines, where in found if lines > NINE_OF_TEN]
    told = "\n".join(f"{lines} {where}" for lines, where in found[:20])
    assert len(long) <= len(found) // 10, f"the longest:\n{told}"
