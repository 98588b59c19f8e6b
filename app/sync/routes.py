"""Routes of sync: what has changed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.app_data.quotas import rooms_of
from app.apps.registry import app_registry
from app.errors import Invalid
from app.identity.access import owner_or
from app.relations.leases import leases
from app.sync.changes import Page, read_page
from app.sync.cursor import Cursor, decode, encode
from app.sync.horizon import check_age
from app.sync.hub import hub_of
from app.sync.live.events import EVENTS_PATH, stream_events
from app.sync.live.events import QUERY as EVENTS_QUERY
from app.sync.overlap import overlap_in
from app.sync.source import source_of
from app.web.admission.gate import without_place
from app.web.hot import Answer, Headers, HotEndpoint, HotRequest, json_answer
from app.web.observability.measures import CHANGE_POLLS
from app.web.streams.open_streams import waiting_polls
from app.web.streams.signals import Wake
from app.web.streams.stream import stopping
from app.web.validation.spellings import integer
from models.app_data_changes import Source
from models.user import User

CHANGES_PATH: Final = "/v1/users/{userId}/apps/{appId}/changes"
LIMIT: Final = 200
MOST: Final = 1000
LONGEST_WAIT: Final = 25
Future = asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Question:
    source: Source
    cursor: Cursor
    limit: int
    wait: int


async def _changes(request: HotRequest) -> Answer:
    source = await source_of(request)
    query = request.query()
    limit, wait = (
        _number(query, "limit", LIMIT, 1, MOST),
        _number(query, "wait", 0, 0, LONGEST_WAIT),
    )
    since = query.get("since")
    cursor = (
        Cursor() if since is None else decode(since, source.user_id, source.app_id, source.prefix)
    )
    question = _Question(source, cursor, limit, wait)
    page = await _waited(request, question) if wait else await _read(request, question)
    kind, outcome = "waited" if wait else "at_once", "changes" if page.changes else "nothing"
    CHANGE_POLLS.labels(kind, outcome).inc()
    headers = await _quota(request, source, is_quiet=bool(wait) and not page.changes)
    try:
        return _answered(page, source, headers)
    except TypeError:  # a value was damaged: each is looked at, which costs
        return _answered(page.answerable(), source, headers)


def _answered(page: Page, source: Source, headers: Headers) -> Answer:
    body = {"changes": page.changes, "cursor": encode(page.cursor, source), "more": page.more}
    return json_answer(200, body, headers)


async def _quota(request: HotRequest, source: Source, *, is_quiet: bool) -> Headers:
    """How much of the app's quota is used, where it has one; a wait that brought nothing does not
    count for it."""
    app = await app_registry(request.scope).settings_of(source.app_id)
    if app.quota is None:
        return []
    rooms = rooms_of(request.scope)
    if not is_quiet:
        await rooms.room(source.user_id, source.app_id)
    told = rooms.headers(source.user_id, source.app_id, app.quota)
    return [(name.lower().encode(), value.encode()) for name, value in told.items()]


def _number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if (number := integer(text, least, most)) is None:
        raise Invalid.field(
            f"?{name}", "out_of_range", f"{name} is a number from {least} to {most}"
        )
    return number


async def _read(request: HotRequest, question: _Question) -> Page:
    await leases(request.scope).hold(User, question.source.user_id)
    await check_age(request.scope, question.source, question.cursor)
    return await read_page(
        question.source, question.cursor, question.limit, overlap_in(request.scope)
    )


async def _waited(request: HotRequest, question: _Question) -> Page:
    """The page as soon as there is something in it, or the time is over; what is awaited costs no
    place meanwhile.

    Raises:
        TooManyRequests, Unavailable: it would have to wait, and too many do.
    """
    ends = asyncio.get_running_loop().time() + question.wait
    user_id, app_id = question.source.user_id, question.source.app_id
    await request.body()  # what comes after it is the end of the connection
    gone: Future = asyncio.ensure_future(request.gone())
    try:
        with hub_of(request.scope).listen(user_id, app_id) as changed:
            page = await _read(request, question)
            if page.changes or page.more:
                return page
            with waiting_polls(request.scope).place(user_id):
                return await _until(ends, request, question, page, changed, gone)
    finally:
        gone.cancel()


async def _until(
    ends: float, request: HotRequest, question: _Question, page: Page, changed: Wake, gone: Future
) -> Page:
    """The first page with something in it, or the last one before the time is over."""
    stopped = stopping(request.scope)
    while True:
        left = ends - asyncio.get_running_loop().time()
        if page.changes or page.more or left <= 0 or gone.done() or stopped.is_set():
            return page
        async with without_place(request.scope):
            await _first(changed, stopped, gone, left)
        changed.clear()
        request.forget_caller()  # whose token or key may have ended meanwhile
        await source_of(request)
        page = await _read(request, question)


async def _first(changed: Wake, stopped: Wake, gone: Future, seconds: float) -> None:
    """Wait for a poke, for the server to stop, for the client to go away, or for the time to be
    over."""
    events: list[Future] = [asyncio.ensure_future(event.wait()) for event in (changed, stopped)]
    try:
        await asyncio.wait({*events, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for event in events:
            event.cancel()


def hot_endpoints() -> list[HotEndpoint]:
    """What is served before FastAPI is asked."""
    query = {"GET": ("since", "limit", "wait", "prefix")}
    return [
        HotEndpoint(CHANGES_PATH, {"GET": _changes}, {"GET": owner_or("data:read")}, query),
        HotEndpoint(
            EVENTS_PATH,
            {"GET": stream_events},
            {"GET": owner_or("data:read", live=True)},
            EVENTS_QUERY,
        ),
    ]
