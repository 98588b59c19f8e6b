"""pydantic's complaints as a problem that names the fields."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.errors import Invalid, MalformedJson, Problem
from app.web.validation.sentences import sentence
from models.values import UnstorableValue

_MOST: Final = 100
_HIDDEN: Final = re.compile(
    r"function-(?:after|before|plain|wrap)|(?:literal|dict|list|constrained-\w+)\[.*\]"
)
"""What pydantic puts into the place of an error besides names: its own terms for the choices of a
union."""
_OF_A_NAME: Final = "[key]"
"""What it puts behind the name of a member that is itself wrong."""

_CODES: Final = {
    "missing": "missing",
    "extra_forbidden": "unknown",
    "literal_error": "not_allowed",
    "enum": "not_allowed",
    "too_long": "too_long",
    "string_too_long": "too_long",
    "too_short": "too_short",
    "string_too_short": "too_short",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "finite_number": "out_of_range",
    "int_parsing_size": "out_of_range",
}


def field_code(kind: str) -> str:
    """Our code for one of pydantic's many types of error, which are its own to change."""
    return _CODES.get(kind) or ("wrong_type" if kind.endswith("_type") else "malformed")


def validation_problem(errors: Iterable[Mapping[str, Any]], root: str | None = None) -> Problem:
    """The problem of input that pydantic refused.

    Args:
        errors: `ValidationError.errors()` or FastAPI's.
        root: `""` where a body was validated; None where each location starts with body, query,
            path or header.
    """
    complaints, found = list(errors), []
    if [error["type"] for error in complaints] == ["json_invalid"]:
        return MalformedJson("the body is not valid JSON")
    placed = [(_place(error, root), error) for error in complaints[:_MOST]]
    places = [place for place, _ in placed]
    for place, error in placed:
        if _is_of_another_choice(place, error, places):
            continue
        cause = (error.get("ctx") or {}).get("error")
        if isinstance(cause, UnstorableValue):
            found.append(
                {"pointer": place + cause.pointer, "code": cause.code, "detail": cause.detail}
            )
        else:
            found.append(
                {
                    "pointer": place,
                    "code": field_code(str(error["type"])),
                    "detail": sentence(error),
                }
            )
    summary = f"{found[0]['pointer'] or 'the body'}: {found[0]['detail']}" if found else None
    if len(complaints) > _MOST:
        summary = f"{summary} ({len(complaints)} errors in all, the first {_MOST} are listed)"
    return Invalid(summary, errors=found)


def _place(error: Mapping[str, Any], root: str | None) -> str:
    location = [str(part) for part in error["loc"] if not _HIDDEN.fullmatch(str(part))]
    if location[-1:] == [_OF_A_NAME]:
        location.pop()
    return _pointer(location if root is None else ["body", *location])


def _is_of_another_choice(place: str, error: Mapping[str, Any], places: list[str]) -> bool:
    """Whether a value is refused as a whole by one choice of a union, while another choice takes it
    for its own and complains of what is in it."""
    whole = error["type"] == "literal_error" or str(error["type"]).endswith("_type")
    return whole and any(each.startswith(f"{place}/") for each in places)


def _pointer(location: list[str]) -> str:
    if not location or location[0] == "body":
        return "".join(f"/{_escape(part)}" for part in location[1:])
    kind, name = location[0], ".".join(location[1:])
    return f"?{name}" if kind == "query" else f"{kind}:{name}"


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1").encode("utf-8", "replace").decode()
