"""How numbers, booleans and days are spelled in paths and queries: each in one way.

By itself pydantic takes `01`, `+1`, ` 1`, `1_0` and digits of other scripts for a number, and `yes`
for a boolean; what is one thing would have many addresses.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final, get_args

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes

from app.errors import Invalid

_SPELLED: Final[Mapping[type, tuple[re.Pattern[str], str]]] = {
    int: (re.compile(r"-?[1-9][0-9]*|0"), "it must be an integer, such as 12"),
    float: (
        re.compile(r"-?(?:[1-9][0-9]*|0)(?:\.[0-9]+)?"),
        "it must be a number, such as 12 or 1.5",
    ),
    bool: (re.compile("true|false"), "it must be true or false"),
    date: (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), "it must be a day such as 2026-11-20"),
}
_WHERE: Final = {ParamTypes.path: "path:", ParamTypes.query: "?"}
Spellings = Mapping[str, tuple[str, re.Pattern[str], str]]
"""Name of a parameter -> where it stands, how it is spelled, and that in words."""


def spellings(dependant: Dependant) -> Spellings:
    """How the parameters of a route of FastAPI's are spelled, those of them that are no texts."""
    found = {}
    for field in get_flat_params(dependant):
        where = _WHERE.get(getattr(field.field_info, "in_", ParamTypes.header))
        kinds = {field.field_info.annotation, *get_args(field.field_info.annotation)}
        for kind in kinds & _SPELLED.keys() if where else ():
            found[field.alias] = (str(where), *_SPELLED[kind])
    return found


def check_spellings(known: Spellings, sent: Iterable[tuple[str, Any]]) -> None:
    """See that parameters are spelled as they should be.

    Args:
        known: how.
        sent: names and texts.

    Raises:
        Invalid: `errors` names those that are not.
    """
    errors = [
        {"pointer": where + name, "code": "malformed", "detail": words}
        for name, text in sent
        if name in known
        for where, pattern, words in [known[name]]
        if not pattern.fullmatch(str(text))
    ]
    if errors:
        raise Invalid(f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors)


def integer(text: str, least: int, most: int) -> int | None:
    """The number that a text spells, None where it is no integer from `least` to `most`."""
    if not _SPELLED[int][0].fullmatch(text) or len(text) > len(str(most)):
        return None
    return int(text) if least <= int(text) <= most else None
