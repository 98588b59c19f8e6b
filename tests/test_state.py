"""What counts as state that a module keeps."""

import ast

import pytest

from tests.state import changed_names


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("KNOWN = {}\n", {"KNOWN"}),
        ("PLACES: Final[Mapping[str, int]] = {}\n", set()),
        ("NUMBERS: Final = itertools.count(1)\n", {"NUMBERS"}),
        ("NAMES = ['a']\ndef add(name): NAMES.append(name)\n", {"NAMES"}),
        ("SIZES = {'a': 1}\ndef grow():\n    SIZES['a'] += 1\n", {"SIZES"}),
        ("AT = 0\ndef move():\n    global AT\n    AT = 1\n", {"AT"}),
        ("from models import Doc\ndef bind():\n    Doc.kept = 1\n", {"Doc"}),
        ("from models import aside\naside.LISTENERS.append(print)\n", {"aside"}),
        ("SIZES = {'a': 1}\ndef own():\n    SIZES = {}\n    SIZES['a'] = 1\n", set()),
        ("SIZES = {'a': 1}\ndef read(): return SIZES['a']\n", set()),
        ("from models import Doc\nasync def go():\n    await Doc.remove(1)\n", set()),
        ("PAGES = Pages()\nPAGES.filters['a'] = str\n", set()),
    ],
)
def test_state_is_found(source: str, names: set[str]) -> None:
    assert changed_names(ast.parse(source)) == names
