"""The client, its guarantees, and `transaction()`."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any, Final, TypeVar, cast

import pymongo
from beanie import init_beanie
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import ReadPreference
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.monitoring import _EventListener
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from app.database.clock import DatabaseClock, measure
from app.database.driver import Client
from app.database.rights import confirm, held, settle
from app.database.turns import Patience, turn
from app.errors import Unavailable
from app.errors.driver import from_driver
from app.settings import Settings
from app.web.etags import EPOCH_DAMAGED, load_epoch
from app.web.observability import log
from models import DOCUMENTS
from models.base import WRITE_CONFLICT, Overtaken, Raw
from models.guard import Guard
from models.ring_key import RetiredKey
from models.unreadable import Unreadable

T = TypeVar("T")

DURABLE: Final = WriteConcern(w="majority", j=True)
MAJORITY: Final = ReadConcern("majority")
_DECODED: Final[CodecOptions[Raw]] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""Times beyond the year 9999 as the driver's own kind of them: else one row that has any fails the
whole query."""
UNREACHED: Final = "the database cannot be reached"
_AGAIN_SECONDS: Final = 0.5
_RING_SECONDS: Final = 5  # by then a process has read the ring again
_TIMEOUTS: Final = (
    4  # of one command: how long a transaction is run again because others were faster
)
_LOSERS: Final = "transactions that have lost once"
_joined: ContextVar[AsyncClientSession | None] = ContextVar("transaction", default=None)


def connect(
    settings: Settings, uri: str, *, bounded: bool = True, listeners: Sequence[_EventListener] = ()
) -> Client:
    """A client with the guarantees of docs/guarantees.md: majority writes and reads, journalled.

    Args:
        settings: pool sizes and times.
        uri: connection string of a replica set.
        bounded: give every operation `SATCHEL_REQUEST_TIMEOUT_MS`, and keep connections open;
            scripts and jobs go without.
        listeners: command and pool listeners (metrics).
    """
    options: dict[str, Any] = {"timeoutMS": settings.request_timeout_ms} if bounded else {}
    return Client(
        settings,
        uri,
        tz_aware=True,
        w="majority",
        journal=True,
        readConcernLevel="majority",
        maxPoolSize=settings.pool_max_size,
        minPoolSize=settings.pool_min_size if bounded else 0,
        maxIdleTimeMS=settings.pool_max_idle_seconds * 1000,
        connectTimeoutMS=settings.connect_timeout_seconds * 1000,
        serverSelectionTimeoutMS=settings.request_timeout_ms,
        appname="satchel",
        event_listeners=[DatabaseClock(), *listeners],
        serverMonitoringMode="poll",
        **options,
    )


async def bind(client: Client, settings: Settings) -> AsyncDatabase[Raw]:
    """Tie every document class to the database, and this process to its clock.

    Creates no index: that is `python -m scripts indexes apply`.
    """
    await measure(client)
    database = client.get_database(settings.database, codec_options=_DECODED)
    await init_beanie(database=database, document_models=list(DOCUMENTS), skip_indexes=True)
    return database


async def bind_in_time(
    client: Client, settings: Settings, tell: Callable[[str | None], object] = lambda _: None
) -> AsyncDatabase[Raw]:
    """`bind`, tried until the database answers, and says its epoch; a server that waits for its
    database is up before it, not down with it.

    Args:
        client: of the database.
        settings: of this process.
        tell: called with why the database cannot be used yet, where that is another reason than
            before, and with None once it can.

    Raises:
        pymongo.errors.PyMongoError: it answers, and lets us not in.
    """
    told = ""
    while True:
        try:
            database = await bind(client, settings)
            await load_epoch()
        except (PyMongoError, Unreadable) as error:
            reason = _passing(error)
            if reason != told:
                log.warning(reason, error=type(error).__name__)
                tell(reason)
            told = reason
        else:
            if told:
                log.warning("the database answers")
            tell(None)
            return database
        await asyncio.sleep(_AGAIN_SECONDS)


def _passing(error: PyMongoError | Unreadable) -> str:
    """Why the database cannot be used until this error has passed; raises one that stays."""
    if isinstance(error, Unreadable):
        return EPOCH_DAMAGED
    if not isinstance(from_driver(error), Unavailable):
        raise error
    return UNREACHED


def client() -> Client:
    """The client that the documents are bound to."""
    return cast(Client, DOCUMENTS[0].get_pymongo_collection().database.client)


def joined() -> AsyncClientSession | None:
    """The session of the transaction that this runs within; None outside one."""
    return _joined.get()


async def transaction(work: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
    """Run `work(session)` in one transaction; within one already, join it.

    `work` may be run several times: it reads again what it depends on, and has no effect but
    its writes. What is to follow the commit stands behind this call, never in `work`. The
    rights of a request (`app.database.rights`) are looked at in its transaction first. Who
    loses against another transaction stands in line with the others of this process who have,
    and pauses a moment, so that a crowd gets on one after another.

    Raises:
        pymongo.errors.DuplicateKeyError: a unique value is taken; nothing was written. Start again
            from outside.
        Unavailable: others were faster for too long.
    """
    if (outer := _joined.get()) is not None:
        return await work(outer)
    if not (rights := held()):
        return await _run(work)

    async def confirmed(session: AsyncClientSession) -> T:
        await confirm(session)
        return await work(session)

    done = await _run(confirmed, rights[0])
    settle()
    return done


async def _run(work: Callable[[AsyncClientSession], Awaitable[T]], subject: Hashable = None) -> T:
    """Run work until it is not overtaken: the first time in line with the others who have the same
    subject, if any."""
    try:
        async with turn(subject) if subject is not None else nullcontext():
            return await _attempt(work)
    except Overtaken as overtaken:
        return await _get_on(work, overtaken.closing)


async def _get_on(
    work: Callable[[AsyncClientSession], Awaitable[T]], closing: ObjectId | None
) -> T:
    """Run work that was overtaken again until it is not; once it has failed to close a parent, it
    goes first."""
    limit = client().options.timeout
    patience = Patience(_TIMEOUTS * limit) if limit else Patience()
    try:
        while True:
            await patience.again()  # out of the line: whom we wait for may stand in it
            try:
                if closing is not None:
                    await Guard.ask_to_close(closing)
                    return await _attempt(work)
                async with turn(_LOSERS):
                    return await _attempt(work)
            except Overtaken as overtaken:
                closing = overtaken.closing or closing
    finally:
        if closing is not None:
            await Guard.stay_open(closing)


async def _attempt(work: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
    """One transaction, which outlives a failover and no conflict.

    Raises:
        Overtaken: others have; nothing was written.
    """

    async def joined(session: AsyncClientSession) -> T:
        token = _joined.set(session)
        try:
            return await work(session)
        except RetiredKey:
            raise Unavailable(
                "the key ring has changed: try again in some seconds", _RING_SECONDS
            ) from None
        except OperationFailure as error:
            if error.code == WRITE_CONFLICT:
                raise Overtaken from error
            raise
        finally:
            _joined.reset(token)

    limit = client().options.timeout  # else a fault that lasts is met by reruns for two minutes
    with pymongo.timeout(limit) if limit else nullcontext():
        async with client().start_session() as session:
            return await session.with_transaction(
                joined,
                read_concern=MAJORITY,
                write_concern=DURABLE,
                read_preference=ReadPreference.PRIMARY,
            )
