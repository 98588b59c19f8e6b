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
    """JSON where it may be; the others only where they are asked for."""
    if "application/json" in accept or "*" in accept:
        return JSON
    if "ndjson" in accept:
        return NDJSON
    if "text/csv" in accept:
        return CSV
    if "json" in accept:
        return JSON
    raise NotAcceptable("application/json, text/csv and application/x-ndjson can be sent")


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
