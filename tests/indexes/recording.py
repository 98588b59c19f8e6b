"""A database through a client of its own that notes what it sends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymongo.asynchronous.database import AsyncDatabase

from app.database import bind, connect
from app.settings import Settings
from models.base import Raw
from tests.explain import QueryRecorder

Recorded = tuple[AsyncDatabase[Raw], QueryRecorder]


@asynccontextmanager
async def recording(settings: Settings, uri: str) -> AsyncIterator[Recorded]:
    """The database through a client of its own, to which the documents are bound, and what that
    client sends."""
    recorder = QueryRecorder()
    async with connect(settings, uri, bounded=False, listeners=[recorder]) as client:
        yield await bind(client, settings), recorder
