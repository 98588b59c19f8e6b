"""Routes by which a person's data goes out: all of it, and their raw events."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final

import orjson
from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from app.identity.access import owner_or
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.people.events import RawEvent, event_page
from app.people.out.exporting import Export, Exports, Line, Place, line_of
from app.people.out.spool import spooled
from app.people.out.zipped import zip_of
from app.people.streaming import NDJSON
from app.settings import Settings
from app.web.admission.gate import LEAVE_PLACE
from app.web.body import dump_json
from app.web.openapi.answers import problems
from app.web.openapi.examples import page_of
from app.web.paging import Cursor, Limit, Page
from app.web.routing import Router
from app.web.validation.queries import check_span
from models.analytics import EventCategory, EventName
from models.app import AppId
from models.base import Timestamp

router = Router(prefix="/v1/users/{userId}", tags=["Import and export"])
ZIP: Final = "application/zip"
_LINES: Final = (
    '{"kind":"users","document":{"id":"691f0c0ffee691f0c0ffee69","name":"Ann"}}\n'
    '{"kind":"end","document":{"at":"2026-11-28T18:30:00.000Z","documents":{"users":1}}}\n'
)
_SENT: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": (
            "A line for each document, `kind` (its collection) and `document`, the user first; the"
            " last line has the kind `end`, or `incomplete` where it broke off. Or, by `Accept`, an"
            " archive with a file for each kind"
        ),
        "content": {
            NDJSON: {"schema": {"type": "string"}, "example": _LINES},
            ZIP: {"schema": {"type": "string", "contentMediaType": ZIP}},
        },
    }
}
_EVENT_SHOWN: Final[dict[str, Any]] = {
    "id": "691f0c0ffee691f0c0ffee69",
    "appId": "notes",
    "eventName": "opened",
    "eventCategory": "engagement",
    "eventData": {"page": 1},
    "timestamp": "2026-11-20T08:30:00.125Z",
    "receivedAt": "2026-11-20T08:30:01.000Z",
}


@router.get(
    "/export",
    access=owner_or("users:read", live=True),
    operation_id="exportUser",
    summary="Export everything of a person",
    responses=problems() | _SENT,
    response_class=Response,
)
async def export_user(
    userId: str,
    caller: Caller,
    request: Request,
    archived: Annotated[
        bool,
        Query(description="With their events in the files of the archive, which takes its time."),
    ] = False,
) -> Response:
    """From one snapshot, secrets left out; the import takes it. It is noted who asked."""
    user_id = caller.resolve(userId)
    authorize(caller, "users:read", user_id=user_id)
    export = Export(request.app.state.settings, user_id, archived)
    exports: Exports = request.app.state.exports
    place = exports.begin(user_id)
    await export.open(caller.name)
    request.scope.get(LEAVE_PLACE, lambda: None)()
    zipped = ZIP in request.headers.get("accept", "").lower()
    settings: Settings = request.app.state.settings
    lines = spooled(ndjson_of(export), settings.export_spool_mb << 20)
    parts = zip_of(_read(lines)) if zipped else lines
    name = f"{user_id}.{'zip' if zipped else 'ndjson'}"
    return StreamingResponse(
        _held(place, parts, lines),
        media_type=ZIP if zipped else NDJSON,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _held(
    place: Place, parts: AsyncIterator[bytes], lines: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """The parts of an answer, whose place is given back when it ends, however it does; with it the
    reading of the lines that they are made of."""
    try:
        async with aclosing(lines), aclosing(parts):  # type: ignore[type-var]
            async for part in parts:
                yield part
    finally:
        place.leave()


async def ndjson_of(export: Export) -> AsyncIterator[bytes]:
    """An export as lines of JSON."""
    async for kind, document in export.lines():
        yield dump_json(line_of(kind, document)) + b"\n"


async def _read(parts: AsyncIterator[bytes]) -> AsyncIterator[Line]:
    """The lines again, once they can be taken slowly."""
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            told = orjson.loads(line)
            yield told["kind"], told["document"]


@router.get(
    "/events",
    access=owner_or("analytics:read"),
    operation_id="listUserEvents",
    summary="List the raw events of a person",
    responses=problems() | page_of(_EVENT_SHOWN),
)
async def list_events(
    userId: str,
    caller: Caller,
    app_id: Annotated[AppId | None, Query(alias="appId")] = None,
    event_name: Annotated[EventName | None, Query(alias="eventName")] = None,
    event_category: Annotated[EventCategory | None, Query(alias="eventCategory")] = None,
    start: Annotated[Timestamp | None, Query(alias="from", description="Inclusive.")] = None,
    end: Annotated[Timestamp | None, Query(alias="to", description="Exclusive.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RawEvent]:
    """As they came in, the newest first. Those that are archived are in the export alone."""
    user_id = caller.resolve(userId)
    bound = app_id or caller.app_id
    authorize(caller, "analytics:read", user_id=user_id, app_id=bound)
    check_span(start, end)
    told = {"appId": bound, "eventName": event_name, "eventCategory": event_category}
    where = {name: value for name, value in told.items() if value is not None}
    items, following = await event_page(user_id, where, start, end, limit, cursor)
    return Page(items=items, next_cursor=following)
