"""pydantic's complaints as a problem that names the fields."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.errors import Invalid, MalformedJson, Problem
from models.values import UnstorableValue

_MOST: Final = 100
_HIDDEN = {"function-after", "function-before", "function-plain", "function-wrap"}


def validation_problem(errors: Iterable[Mapping[str, Any]], root: str | None = None) -> Problem:
    """The problem of input that pydantic refused.

    Args:
        errors: `ValidationError.errors()` or FastAPI's.
        root: `""` where a body was validated; None where each location starts with body, query, path or header.
    """
    complaints = list(errors)
    found = []
    for error in complaints[:_MOST]:
        location = [str(part) for part in error["loc"] if str(part) not in _HIDDEN]
        place = _pointer(location if root is None else ["body", *location])
        cause = (error.get("ctx") or {}).get("error")
        if isinstance(cause, UnstorableValue):
            found.append({"pointer": place + cause.pointer, "code": cause.code, "detail": cause.detail})
        else:
            detail = str(error["msg"]).removeprefix("Value error, ")
            found.append({"pointer": place, "code": str(error["type"]), "detail": detail})
    if len(found) == 1 and found[0]["code"] == "json_invalid":
        return MalformedJson("the body is not valid JSON")
    summary = f"{found[0]['pointer'] or 'the body'}: {found[0]['detail']}" if found else None
    if len(complaints) > _MOST:
        summary = f"{summary} ({len(complaints)} errors in all, the first {_MOST} are listed)"
    return Invalid(summary, errors=found)


def _pointer(location: list[str]) -> str:
    if not location or location[0] == "body":
        return "".join(f"/{_escape(part)}" for part in location[1:])
    kind, name = location[0], ".".join(location[1:])
    return f"?{name}" if kind == "query" else f"{kind}:{name}"


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1").encode("utf-8", "replace").decode()
