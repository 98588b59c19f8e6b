"""How rows are sent: JSON, CSV or NDJSON, with how fresh they are in the headers."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from fastapi import Request, Response

from app.analytics.query.queries import Rows
from app.analytics.query.table import csv_table
from app.errors import NotAcceptable
from app.web.body import dump_json
from models.base import Raw, rfc3339

JSON: Final = "application/json"
CSV: Final = "text/csv"
NDJSON: Final = "application/x-ndjson"
FORMATS: Final = {"json": JSON, "csv": CSV, "ndjson": NDJSON}


def answer(found: Rows, request: Request, asked: str | None = None) -> Response:
    """The rows in the form that `format=` or the Accept header asks for.

    Raises:
        NotAcceptable: it asks for another.
    """
    kind = FORMATS[asked] if asked else _acceptable(request.headers.get("accept", "*/*"))
    headers = {
        "Satchel-As-Of": rfc3339(found.fresh.exact_to),
        "Satchel-Staleness": f"{found.fresh.staleness:.3f}",
        "Satchel-Rollup-Lag": f"{found.fresh.lag:.3f}",
        "Vary": "Accept",
    }
    return Response(_BODIES[kind](found), media_type=kind, headers=headers)


def _acceptable(accept: str) -> str:
    """The form that a client likes best (RFC 9110, section 12.5.1): of those that it likes alike
    one that it names goes before one that a range of its takes in, and JSON before the others.

    Raises:
        NotAcceptable: it takes none.
    """
    ranges = [_range(part) for part in accept.lower().split(",") if part.strip()] or [("*/*", 1.0)]

    def liked(kind: str) -> tuple[float, int]:
        """How much it likes a form, by the closest of its ranges: the form, `text/*`, `*/*`."""
        for closeness, name in ((2, kind), (1, f"{kind.partition('/')[0]}/*"), (0, "*/*")):
            for told, quality in ranges:
                if told == name:
                    return quality, closeness
        return 0.0, 0

    best = max(FORMATS.values(), key=liked)  # the first of equals
    if liked(best)[0] == 0:
        raise NotAcceptable("application/json, text/csv and application/x-ndjson can be sent")
    return best


def _range(part: str) -> tuple[str, float]:
    """A media range and how much it is liked, of 0 to 1; what is malformed is not."""
    name, *parameters = (piece.strip() for piece in part.split(";"))
    name = JSON if name.endswith("+json") else NDJSON if name == "application/ndjson" else name
    told = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        quality = float(told)
    except ValueError:
        return name, 0.0
    return name, quality if 0 <= quality <= 1 else 0.0


def _lines(rows: Sequence[Raw]) -> Iterator[bytes]:
    for row in rows:
        yield dump_json(row) + b"\n"


_TIME: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT.+Z")
_BODIES: Final[dict[str, Any]] = {
    JSON: lambda found: dump_json(found.rows),
    CSV: lambda found: csv_table(found.columns, found.rows),
    NDJSON: lambda found: b"".join(_lines(found.rows)),
}


def described(example: Raw) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of an answer whose rows look like this one."""
    always = {name: _type(value) for name, value in example.items() if name != "time"}
    properties = {"time": _TIME, **always, "previous": _type(None)}
    schema = {
        "type": "array",
        "items": {"type": "object", "required": list(always), "properties": properties},
    }
    content = {
        JSON: {"schema": schema, "example": [example]},
        CSV: {"schema": {"type": "string"}},
        NDJSON: {"schema": {"type": "string"}},
    }
    return {200: {"description": "Flat rows", "content": content}}


def _type(value: Any) -> Any:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    if value is None:
        return {"anyOf": [{"type": "number"}, {"type": "null"}]}
    return (
        _TIME
        if isinstance(value, str) and _MOMENT.fullmatch(value)
        else {"type": kinds[type(value)]}
    )
