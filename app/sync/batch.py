"""Batches: many writes of one person's data of an app, each for itself or all together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from bson import Timestamp as ClusterTime
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.app_data.quotas import Rooms
from app.apps.json_schemas import Schemas
from app.database import client, transaction
from app.database.turns import AlwaysOvertaken, turns
from app.errors import Invalid, NotAllStored, Problem, TooLarge
from app.errors.codes import FIELD_CODES
from app.relations.leases import Lease
from app.sync.batch_body import Batch, Item
from app.sync.batch_decisions import Decision, Status, decide, is_live
from app.sync.batch_quota import hold_to_quota, note_growth
from app.web.body import MAX_VALUE_BYTES
from app.web.idempotency import Claim, Repeated, check_repeat, make_claim
from models.app import Quota, is_name
from models.app_data import AppData
from models.app_data_batch import NotDone, Place, read_envelopes, read_rows, write_pinned
from models.base import Raw, now

MOST_BYTES: Final = 8 * 1024 * 1024
_INLINE: Final = MOST_BYTES // 200
_TOO_LARGE: Final = "with what is stored besides, it is larger than the database takes"


class _Refused(Exception):
    """A write of an atomic batch cannot be stored: so none is."""

    def __init__(self, decisions: list[Decision]) -> None:
        super().__init__()
        self.decisions = decisions


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends a batch, and what they may see.

    Attributes:
        place: whose data of which app.
        lease: leave to write while the user exists.
        rooms: what apps keep of people.
        may_read: whether the answer may show values.
        claim: by the Idempotency-Key.
        representation: whether values are shown; None for those that patches made.
        schemas: what values must fit; None for anything.
        quota: how much the app may keep; None for any amount.
    """

    place: Place
    lease: Lease
    rooms: Rooms
    may_read: bool = True
    claim: Claim | None = None
    representation: bool | None = None
    schemas: Schemas | None = None
    quota: Quota | None = None


@dataclass(slots=True)
class _Began:
    """The server's cluster time before anything was written."""

    at: ClusterTime | None = None

    def note(self, session: AsyncClientSession) -> None:
        """Take the time of what a session has read; of several tries, that of the first."""
        self.at = self.at or session.operation_time


async def write_batch(sender: Sender, batch: Batch) -> tuple[list[dict[str, Any]], ClusterTime]:
    """Do the writes of a batch.

    Returns:
        What became of each, in their order, and the cluster time before them.

    Raises:
        NotFound: there is no such user.
        NotAllStored: of an atomic batch, a write came too late; nothing was written.
        Invalid: of an atomic batch, a write can never be stored; nothing was written.
        TooLarge: an atomic batch patches more than 8 MiB of values; nothing was written.
    """
    await sender.lease.hold()
    began = _Began()
    try:
        if batch.atomic or sender.claim is not None:
            decisions = await _together(sender, batch, began)
        else:
            decisions = await _each(sender, batch.items, began)
    except Repeated as done:
        decisions = [
            _again(item, found) for item, found in zip(batch.items, done.results, strict=True)
        ]
    except _Refused as refused:
        raise _refusal(await _results(sender, refused.decisions)) from None
    if sender.quota is not None:
        note_growth(sender.rooms, sender.place, decisions)
    return await _results(sender, decisions), began.at or await _cluster_time(sender.place)


async def _cluster_time(place: Place) -> ClusterTime:
    async with client().start_session(causal_consistency=False) as session:
        await read_rows(place, [], session=session)
        if session.operation_time is None:
            raise AssertionError("a replica set tells its time")  # pragma: no cover
        return session.operation_time


async def _each(sender: Sender, items: Sequence[Item], began: _Began) -> list[Decision]:
    """Each write for itself: by two commands, and two more for those that others were faster
    with."""
    done: dict[int, Decision] = {}
    pending = list(items)
    async with turns(_subjects(sender, items)) as patience:
        while pending:
            async with client().start_session(causal_consistency=False) as session:
                decisions = await _decided(sender, pending, session)
                began.note(session)
            await sender.lease.hold()
            undone = await write_pinned(
                sender.place, [each.write for each in decisions if each.write]
            )
            done |= {
                each.item.index: each for each in decisions if each.item.data_key not in undone.late
            }
            pending = [each.item for each in decisions if each.item.data_key in undone.late]
            done |= _refuse_too_large(items, undone.too_large)
            try:
                if pending:
                    await patience.again()
            except AlwaysOvertaken:
                done |= {item.index: Decision(item, Status.NOT_APPLIED) for item in pending}
                break
    return [done[item.index] for item in items]


async def _together(sender: Sender, batch: Batch, began: _Began) -> list[Decision]:
    """All writes in one transaction, with the claim, where there is one; the values are its last
    command.

    Raises:
        _Refused: the batch is atomic, and a write cannot be stored.
        Repeated: it was done before.
    """

    async def work(session: AsyncClientSession) -> list[Decision]:
        decisions = await _decided(sender, batch.items, session)
        began.note(session)
        if batch.atomic and any(each.status is not Status.STORED for each in decisions):
            raise _Refused(decisions)
        await make_claim(sender.claim, 200, session, [_noted(each) for each in decisions])
        await sender.lease.hold()
        await write_pinned(sender.place, [each.write for each in decisions if each.write], session)
        return decisions

    await check_repeat(sender.claim)
    async with turns(_subjects(sender, batch.items)) as patience:
        while True:
            try:
                return await transaction(work)
            except NotDone as error:
                _refuse_too_large(batch.items, error.undone.too_large)
            except DuplicateKeyError:  # the claim was made meanwhile
                await check_repeat(sender.claim)
            await patience.again()


def _subjects(sender: Sender, items: Iterable[Item]) -> list[tuple[object, ...]]:
    """What the writers of these values stand in line for, in one order for all of them."""
    place = sender.place
    return [
        (AppData, place.user_id, place.app_id, key)
        for key in sorted(item.data_key for item in items)
    ]


async def _decided(
    sender: Sender, items: Sequence[Item], session: AsyncClientSession
) -> list[Decision]:
    able = [item for item in items if not item.errors]
    rows = await _rows(sender.place, able, session) if able else {}
    moment, floor = now(), await sender.lease.hold()
    decisions = _decide_all(items, rows, moment, sender.schemas)
    decisions = [_above(each, floor) for each in decisions] if floor else decisions
    return (
        decisions
        if sender.quota is None
        else await hold_to_quota(sender.rooms, sender.place, sender.quota, decisions)
    )


def _decide_all(
    items: Sequence[Item], rows: dict[str, Raw], moment: datetime, schemas: Schemas | None
) -> list[Decision]:
    """What becomes of each. Patches make 8 MiB of values at most, whatever they copy: the others
    are not applied."""
    decisions, room = [], MOST_BYTES
    for item in items:
        if item.is_patch and room < 0:
            decisions.append(Decision(item, Status.NOT_APPLIED))
            continue
        decisions.append(decide(item, rows.get(item.data_key), moment, schemas))
        if item.is_patch and (write := decisions[-1].write) is not None:
            room -= write.size
    return decisions


def _above(decision: Decision, floor: int) -> Decision:
    """A decision whose key, where it is new, begins after the floor of versions."""
    if decision.write is None:
        return decision
    write = replace(decision.write, floor=floor)
    return replace(decision, write=write, shown={**decision.shown, "version": write.version})


async def _rows(place: Place, items: Sequence[Item], session: AsyncClientSession) -> dict[str, Raw]:
    """What is stored, with the values that are to be patched: 8 MiB of them at most."""
    patched = [item.data_key for item in items if item.is_patch]
    keys = [item.data_key for item in items]
    rows = await read_rows(place, keys, whole=patched, most=_INLINE, session=session)
    large, room, moment = [], MOST_BYTES, now()
    for key in patched:
        if is_live(row := rows.get(key), moment) and row is not None:
            room -= row["bytes"]
            if room < 0:
                row.pop("value", None)
            elif "value" not in row:
                large.append(key)
    if large:
        rows |= await read_rows(place, large, whole=large, most=MAX_VALUE_BYTES, session=session)
    return rows


def _refuse_too_large(items: Iterable[Item], keys: Iterable[str]) -> dict[int, Decision]:
    """Note of writes that their rows are too large for the database: with its history, a row has at
    most 16 MiB."""
    refused = {}
    for item in (item for item in items if item.data_key in set(keys)):
        item.refuse("", "too_long", _TOO_LARGE)
        refused[item.index] = Decision(item, Status.INVALID, errors=item.errors)
    return refused


async def _results(sender: Sender, decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    keys = [
        each.item.data_key
        for each in decisions
        if each.tells_current and is_name(each.item.data_key)
    ]
    current = (
        await read_envelopes(sender.place, keys, most_bytes=MOST_BYTES if sender.may_read else 0)
        if keys
        else {}
    )
    return [_shown(sender, each, current) for each in decisions]


def _shown(sender: Sender, decision: Decision, current: dict[str, Raw]) -> dict[str, Any]:
    item = decision.item
    shown: dict[str, Any] = {
        "dataKey": item.data_key,
        "status": decision.status.value,
        **decision.shown,
    }
    wants_value = item.is_patch if sender.representation is None else sender.representation
    if not (wants_value and sender.may_read):
        shown.pop("value", None)
    if decision.errors:
        shown["errors"] = decision.errors
    if decision.tells_current:
        shown["current"] = _visible(current.get(item.data_key), sender.may_read)
    return shown


def _visible(envelope: Raw | None, may_read: bool) -> Raw | None:
    if envelope is None or may_read:
        return envelope
    return {name: value for name, value in envelope.items() if name != "value"}


def _noted(decision: Decision) -> Raw:
    """What a record keeps of a write's result, for a repeat: no value, and nothing that was
    sent."""
    noted: Raw = {"status": decision.status.value}
    if "version" in decision.shown:
        noted |= {
            name: decision.shown[name] for name in ("version", "deleted") if name in decision.shown
        }
    return noted | (
        {"errors": [error["code"] for error in decision.errors]} if decision.errors else {}
    )


def _again(item: Item, noted: Raw) -> Decision:
    """The result of a write that was done by an earlier request."""
    errors = item.errors or [
        {"pointer": item.pointer, "code": code, "detail": FIELD_CODES[code]}
        for code in noted.get("errors", ())
    ]
    shown: dict[str, Any] = {name: noted[name] for name in ("version", "deleted") if name in noted}
    return Decision(item, Status(noted["status"]), shown=shown, errors=errors)


def _refusal(results: list[dict[str, Any]]) -> Problem:
    """The problem of an atomic batch: those that could be stored were not."""
    for result in results:
        if result["status"] == Status.STORED.value:
            for name in result.keys() - {"dataKey", "status"}:
                del result[name]
            result["status"] = Status.NOT_APPLIED.value
    errors = [error for result in results for error in result.get("errors", ())]
    statuses, extra = {result["status"] for result in results}, {"results": results}
    if Status.INVALID.value in statuses:
        return Invalid("a write can never be stored, so none was", errors=errors, extra=extra)
    if Status.CONFLICT.value in statuses:
        return NotAllStored("a write came too late, so none was stored", errors=errors, extra=extra)
    return TooLarge(
        f"patches of a batch read and make at most {MOST_BYTES} bytes of values, so none was done",
        extra=extra,
    )
