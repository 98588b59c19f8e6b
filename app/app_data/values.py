"""The rules of one value: read, put, patch, delete, each a compare-and-set that no race gets
past."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.app_data.place import Place, Values
from app.app_data.swaps import Put
from app.app_data.writes import WriteOptions
from app.apps.json_schemas import schemas_of
from app.database import client, transaction
from app.database.turns import is_taken, turn
from app.errors import NotFound, ResultGone, VersionMismatch
from app.web.body import check_storable, dump_json, parse_json, value_size
from app.web.etags import tag_of
from app.web.idempotency import Repeated, check_repeat, make_claim
from app.web.patches import PatchKind, apply_patch
from app.web.preconditions import holds, mismatch
from app.web.routing import GONE
from models.activity import Activity, ActivityContent
from models.app_data import AppData
from models.app_data_queries import queries_of, query_keys
from models.app_data_updates import Expiry
from models.app_data_written import StaleVersion, Written
from models.base import Raw
from models.precondition import Expected
from models.values import Json

T = TypeVar("T")


async def read_value(place: Place, values: Values) -> Raw:
    """The live value with its `_id`, `version` and `updatedAt`.

    Raises:
        NotFound: there is none, or no such user.
    """
    row = await values.get(place.key)
    await place.lease.hold()  # of a user who is there now, the value was no orphan's before
    if row is None:
        raise NotFound("there is no value under this key")
    return row


async def put_value(
    place: Place, body: bytes, options: WriteOptions
) -> tuple[dict[str, Any], Written]:
    """Store the value that a body spells.

    Returns:
        The envelope, and what was done.

    Raises:
        VersionMismatch: the precondition does not hold.
        Invalid, MalformedJson, TooLarge: the body cannot be stored.
    """
    size = value_size(body)
    return await store_value(place, parse_json(body), size, options, with_value=False)


async def store_value(
    place: Place, value: Json, size: int, options: WriteOptions, *, with_value: bool
) -> tuple[dict[str, Any], Written]:
    """Store a value that can be stored, whatever was there.

    Args:
        place: where.
        value: what.
        size: bytes of its JSON.
        options: of the write.
        with_value: whether the envelope carries the value where the client said nothing of it.

    Returns:
        The envelope, and what was done.

    Raises:
        VersionMismatch: the precondition does not hold.
    """
    try:
        written = await _write(place, value, size, options.expected, options.expires_at, options)
    except StaleVersion:
        raise await too_late(place, options.expected) from None
    with_value = place.may_read and options.wants_value(default=with_value)
    return _envelope(place, written, value, with_value=with_value), written


async def patch_value(
    place: Place, kind: PatchKind, body: bytes, options: WriteOptions
) -> tuple[dict[str, Any], Written]:
    """Patch the live value; without a precondition the patch is applied again when another write
    was faster.

    Returns:
        The envelope, and what was done.

    Raises:
        NotFound: there is no live value.
        VersionMismatch: the precondition does not hold.
        Unavailable: other writers were faster for too long.
    """
    patch = parse_json(body)

    async def read() -> Raw | None:
        await place.lease.hold()
        return await AppData.find_by_user_app_and_key(*place.key)

    async with turn(AppData, *place.key) as patience:
        while True:
            row = await client().lane.run(read)
            if row is None:
                raise NotFound("there is no value under this key")
            if not holds(options.expected, row["version"], tag_of(row["_id"]), row["updatedAt"]):
                raise await too_late(place, options.expected)
            value = apply_patch(kind, patch, row["value"])
            body = check_storable(value)
            size = len(body)
            try:
                if options.expires_at is None and body == dump_json(row["value"]):
                    return await _leave(place, row["version"], options)
                written = await _write(
                    place, value, size, Expected((row["version"],)), options.patch_expiry, options
                )
            except StaleVersion:
                await patience.again()
                continue
            with_value = place.may_read and options.wants_value(default=True)
            return _envelope(place, written, value, with_value=with_value), written


async def _leave(
    place: Place, version: int, options: WriteOptions
) -> tuple[dict[str, Any], Written]:
    """What a patch that changes nothing does: only what is to be written besides the value is.

    Raises:
        StaleVersion: another write was faster.
    """

    async def note(session: AsyncClientSession) -> None:
        await _record_activity(place, options, session)
        await make_claim(options.claim, 200, session, [_told(written)])

    found = await AppData.find_envelope(*place.key, with_id=True)
    if found is None or found["version"] != version:
        raise StaleVersion
    times = (found["createdAt"], found["updatedAt"], found.get("expiresAt"))
    written = Written(False, version, *times, found["_id"])
    if options.needs_transaction:
        await _do(place, note, options)
    with_value = place.may_read and options.wants_value(default=True)
    return _envelope(place, written, found["value"], with_value=with_value), written


async def delete_value(place: Place, options: WriteOptions) -> None:
    """Turn the live value into a tombstone.

    Raises:
        NotFound: there is no live value.
        VersionMismatch: the precondition does not hold.
    """

    async def delete(session: AsyncClientSession | None = None) -> None:
        await place.lease.hold()
        await AppData.delete(
            *place.key, by=place.by, expected=expected, history=options.app.history, session=session
        )
        await _record_activity(place, options, session)
        await make_claim(options.claim, 204, session)

    expected = await _of_place(place, options.expected)
    try:
        if options.app.quota is None:
            await _do(place, delete, options)
        else:
            async with place.rooms.giving_back(place.key):
                await _do(place, delete, options)
    except StaleVersion:
        problem = await too_late(place, options.expected)
        # what was asked for without a condition found nothing, though it may be there again by now
        if options.expected is None or problem.extra["current"] is None:
            raise NotFound("there is no value under this key") from None
        raise problem from None


async def value_again(
    place: Place, done: Repeated, *, with_value: bool
) -> tuple[dict[str, Any], Any]:
    """The envelope of what an earlier request wrote, and its `_id`: with the value as it is now,
    else as it was answered.

    The version of what others wrote since goes with their value alone: without, it would have the
    client guard its next write by what it has never seen.

    Args:
        place: where.
        done: the earlier request.
        with_value: whether the value is wanted.

    Raises:
        ResultGone: it is not there any more, or its user is not.
    """
    try:
        await place.lease.hold()
        found = await AppData.find_envelope(*place.key, with_id=True)
    except NotFound:
        found = None
    if found is None:
        raise ResultGone(GONE)
    key = found.pop("_id")
    if with_value and place.may_read:
        return found, key
    del found["value"]
    return ({"dataKey": place.data_key, **done.results[0]} if done.results else found), key


async def _of_place(place: Place, expected: Expected | None) -> Expected | None:
    """A precondition in versions of this value: only where whole tags were sent must its `_id` be
    asked for."""
    if expected is None or not expected.tags:
        return expected
    found = await AppData.find_id(*place.key)
    return expected.of("" if found is None else tag_of(found))


async def too_late(place: Place, expected: Expected | None) -> VersionMismatch:
    """The problem of a write that came too late, with what is stored; without the value for who may
    only write."""
    current = await AppData.find_envelope(*place.key, with_id=True)
    key = current.pop("_id") if current else None
    if current is not None and not place.may_read:
        del current["value"]
    return mismatch(expected, current, key)


async def _write(
    place: Place,
    value: Json,
    size: int,
    expected: Expected | None,
    expires_at: datetime | Expiry | None,
    options: WriteOptions,
) -> Written:
    """One atomic operation; with `?activity=` one transaction that records the activity too.

    Raises:
        Invalid: the value does not fit the app's schema.
        QuotaExceeded: the app keeps too much of this person already.
    """
    if (schemas := schemas_of(options.app)) is not None:
        schemas.check(place.data_key, value)

    keys = query_keys(queries_of(options.app).values(), place.user_id, place.data_key, value)

    async def put(session: AsyncClientSession | None = None) -> Written:
        written = await AppData.put(
            *place.key,
            value,
            size=size,
            by=place.by,
            expected=await _of_place(place, expected),
            expires_at=expires_at,
            history=options.app.history,
            query_keys=keys,
            before=place.lease.hold,
            session=session,
        )
        await _record_activity(place, options, session)
        status = 201 if written.created else 200
        await make_claim(options.claim, status, session, [_told(written)])
        return written

    async def send() -> Written:
        if options.app.history or (expected is not None and expected.absent):
            return await client().lane.run(put)
        wanted = Put(place.key, expected, value, size, place.by, expires_at, keys)
        return await place.swaps.put(wanted, lambda: client().lane.run(put))

    if options.app.quota is None:
        return await _do(place, put, options, send)
    async with place.rooms.taking(place.key, size, options.app.quota) as taken:
        return taken.written(await _do(place, put, options, send))


async def _do(
    place: Place,
    write: Callable[..., Awaitable[T]],
    options: WriteOptions,
    send: Callable[[], Awaitable[T]] | None = None,
) -> T:
    """Do a write as one operation, or in a transaction and in turn where it is more than that.

    A single operation waits within the database, with its connection, for a transaction that writes
    the same value. So it waits for its turn instead while there is one.

    Args:
        place: where.
        write: does it, by the session of a transaction if there is one.
        options: of the write.
        send: does it as one operation; None where `write` alone can.

    Raises:
        Repeated: a racing request with the same Idempotency-Key was faster.
    """
    if not options.needs_transaction:
        send = send or partial(client().lane.run, write)
        if not is_taken(AppData, *place.key):
            return await send()
        async with turn(AppData, *place.key):
            return await send()
    async with turn(AppData, *place.key) as patience:
        while True:
            try:
                return await transaction(write)
            except DuplicateKeyError:  # what is stored is to be looked at anew, from outside
                await check_repeat(options.claim)
                await patience.again()


async def _record_activity(
    place: Place, options: WriteOptions, session: AsyncClientSession | None
) -> None:
    if options.activity:
        content = ActivityContent(
            app_id=place.app_id, event_type=options.activity, event_data={"dataKey": place.data_key}
        )
        await place.lease.under(
            lambda: Activity.create_activity(place.user_id, content, session=session)
        )


def _envelope(place: Place, written: Written, value: Json, *, with_value: bool) -> dict[str, Any]:
    shown = {"value": value} if with_value else {}
    return {"dataKey": place.data_key, **shown, **_told(written)}


def _told(written: Written) -> dict[str, Any]:
    """What an envelope says of a write, besides key and value."""
    told: dict[str, Any] = {
        "version": written.version,
        "createdAt": written.created_at,
        "updatedAt": written.updated_at,
    }
    return told | ({} if written.expires_at is None else {"expiresAt": written.expires_at})
