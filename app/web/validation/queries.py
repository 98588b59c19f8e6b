"""What every query must be: of parameters that the route knows, each once, and of spans that end
after they begin."""

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, TypeVar, get_args, get_origin
from urllib.parse import unquote_plus, unquote_to_bytes

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes

from app.errors import Invalid

M = TypeVar("M", datetime, str)


def query_names(dependant: Dependant) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the query parameters that a route of FastAPI's declares, and of those the
    lists."""
    fields = [
        field
        for field in get_flat_params(dependant)
        if getattr(field.field_info, "in_", "") == ParamTypes.query
    ]
    lists = (field.alias for field in fields if _is_list(field.field_info.annotation))
    return frozenset(field.alias for field in fields), frozenset(lists)


def _is_list(annotation: Any) -> bool:
    return any(get_origin(kind) is list for kind in (annotation, *get_args(annotation)))


def check_query(sent: Iterable[str], known: Collection[str], lists: Collection[str] = ()) -> None:
    """See that a route knows each query parameter, since one that is misspelt must not be taken for
    left out; and that each comes once, since of two nobody can say which was meant.

    Args:
        sent: the name of each parameter, as often as it was sent.
        known: those that the route takes.
        lists: those of them that may be repeated.

    Raises:
        Invalid: `errors` names the parameters that the route does not know, or those that come
            several times.
    """
    counts = Counter(sent)
    if unknown := [name for name in counts if name not in known]:
        taken = ", ".join(sorted(known)) or "none"
        raise _invalid(
            unknown,
            "unknown",
            f"this route takes: {taken}",
            "there is no such query parameter here",
        )
    if repeated := [name for name, count in counts.items() if count > 1 and name not in lists]:
        raise _invalid(
            repeated, "too_many", "send it once", "the query parameter comes more than once"
        )


def check_encoding(raw: bytes) -> None:
    """See that what a query says is UTF-8: else several texts would be read as one.

    Args:
        raw: the query as it was sent.

    Raises:
        Invalid: a parameter is not; it is named.
    """
    if b"%" not in raw:
        return
    for pair in raw.split(b"&"):
        if not is_utf8(pair):
            name = unquote_plus(pair.partition(b"=")[0].decode("latin-1"))
            raise Invalid.field(f"?{name}", "malformed", "it is not UTF-8")


def is_utf8(encoded: bytes) -> bool:
    """Whether percent-encoded bytes are UTF-8."""
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return False
    return True


def _invalid(names: list[str], code: str, detail: str, summary: str) -> Invalid:
    errors = [{"pointer": f"?{name}", "code": code, "detail": detail} for name in names]
    return Invalid(f"?{names[0]}: {summary}", errors=errors)


def check_span(start: M | None, end: M | None) -> None:
    """See that a span does not end before it begins; both are moments, or both are dates in ISO
    8601.

    Raises:
        Invalid: it does.
    """
    if start is not None and end is not None and start > end:
        raise Invalid.field("?from", "out_of_range", "from is later than to")
