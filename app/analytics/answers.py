"""How rows are sent: JSON, CSV or NDJSON, with how fresh they are in the headers."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fastapi import Request, Response

from app.analytics.queries import Rows
from app.analytics.table import csv_table
from app.body import dump_json
from app.errors import NotAcceptable
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


_BODIES: Final[dict[str, Any]] = {
    JSON: lambda found: dump_json(found.rows),
    CSV: lambda found: csv_table(found.columns, found.rows),
    NDJSON: lambda found: b"".join(_lines(found.rows)),
}


def described(example: Raw) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of an answer whose rows look like this one."""
    properties = {name: {"type": _type(value)} for name, value in example.items()}
    schema = {"type": "array", "items": {"type": "object", "properties": properties}}
    if "time" in properties:
        properties["time"] = {"type": "string", "format": "date-time"}
    content = {
        JSON: {"schema": schema, "example": [example]},
        CSV: {"schema": {"type": "string"}},
        NDJSON: {"schema": {"type": "string"}},
    }
    return {200: {"description": "Flat rows", "content": content}}


def _type(value: Any) -> Any:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return ["number", "null"] if value is None else kinds[type(value)]
