"""Live events: a stream that tells a client to ask for changes, as soon as there are any."""

from functools import partial
from typing import Final

from app.errors import Invalid
from app.identity.caller import live
from app.relations.leases import leases
from app.sync.changes import is_behind
from app.sync.cursor import Cursor, cursor_at, decode, encode
from app.sync.horizon import check_age
from app.sync.hub import hub_of
from app.sync.live.feed import Feed
from app.sync.overlap import overlap_in
from app.sync.source import source_of
from app.web.hot import HotRequest
from app.web.streams.open_streams import open_streams
from models.app_data_changes import Source
from models.user import User

EVENTS_PATH: Final = "/v1/users/{userId}/apps/{appId}/events"
QUERY: Final = {"GET": ("since", "prefix")}
_OPENING_SECONDS: Final = 2.0
"""Longest wait for the change stream to be open; who comes before it is told to ask when it is."""


async def stream_events(request: HotRequest) -> None:
    """Answer with a stream: an event on connect where the client is behind, then one whenever
    something changes."""
    source = await source_of(request)
    listener = await live(await request.caller())  # hot routes ask for it themselves
    known = await _known(request, source)
    await leases(request.scope).hold(User, source.user_id)
    feed: Feed = request.scope["app"].state.feed
    with (
        open_streams(request.scope).admit(listener, source.user_id) as stream,
        hub_of(request.scope).listen(source.user_id, source.app_id) as stream.wake,
    ):
        await feed.opened(_OPENING_SECONDS)
        stream.wake.clear()  # what was poked until now is seen by who asks from here on
        if known is not None and await is_behind(source, known, overlap_in(request.scope)):
            stream.wake.set()
        request.headers.clear()  # nobody looks at them again, and a stream lasts
        tell = partial(_changed, feed, source, known)
        await stream.run(request.scope, request.receive, request.send, tell)


async def _known(request: HotRequest, source: Source) -> Cursor | None:
    """Where the client stands: what it heard last on a stream before, else what its address says.

    Raises:
        Invalid: both are malformed, or it is no cursor.
        CursorExpired: it is too old.
    """
    last = request.header(b"last-event-id")
    since = last or request.query().get("since")
    if since is None:
        return None
    try:
        cursor = decode(since, source.user_id, source.app_id, source.prefix)
    except Invalid as error:
        if last:
            raise Invalid.field("header:Last-Event-ID", "malformed", str(error.detail)) from None
        raise
    await check_age(request.scope, source, cursor)
    return cursor


def _changed(feed: Feed, source: Source, known: Cursor | None) -> bytes:
    """The event that tells to ask for changes: up to where the feed is, or, where it is not open,
    to where one was."""
    if feed.position is None:
        text = encode(known or Cursor(), source).encode()
    else:
        text = cursor_at(source.user_id, source.app_id, feed.position, source.prefix).encode()
    return b'event: changed\nid: %s\ndata: {"cursor":"%s"}\n\n' % (text, text)
