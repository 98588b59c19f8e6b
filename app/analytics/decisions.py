"""Decisions on joins: one that waits is accepted or refused, one that was carried out is undone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from beanie import PydanticObjectId
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from app.analytics.rollup import undo
from app.database import transaction
from app.errors import BadTransition
from models.base import Raw, now
from models.external_id import ExternalId
from models.job import Job
from models.person import IdentityJoin, JoinState, key_rows


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided of a join.

    Attributes:
        before: the states that it is decided in.
        sets: fields that it sets.
        is_done: whether a join is as this decision leaves it.
        unsets: fields that it takes away.
        job: the kind of job that carries it out, where that is not the periodic one.
    """

    before: tuple[JoinState, ...]
    sets: Raw
    is_done: Callable[[IdentityJoin], bool]
    unsets: tuple[str, ...] = ()
    job: str | None = None


ACCEPT: Final = Decision(
    before=("aside", "refused"),
    sets={"accepted": True, "due": True},
    unsets=("state",),
    is_done=lambda join: bool(join.accepted) and join.state in (None, "joined"),
)
REFUSE: Final = Decision(
    before=("aside",), sets={"state": "refused"}, is_done=lambda join: join.state == "refused"
)
UNDO: Final = Decision(
    before=("joined",),
    sets={"state": "undoing", "due": True},
    is_done=lambda join: join.state in ("undoing", "undone"),
    job=undo.UNDO,
)


async def decide(find: Callable[[], Awaitable[IdentityJoin]], decision: Decision) -> IdentityJoin:
    """Decide, unless that was done; who was overtaken looks again, for the other may have decided
    the same.

    Args:
        find: reads the join, for whoever may decide of it.
        decision: which.

    Raises:
        BadTransition: the join is in another state, or is about to be carried out.
    """
    join = await find()
    if decision.is_done(join):
        return join
    if decision is UNDO:
        await _see_that_it_can_be_undone(join)
    try:
        return await _decided(join, decision)
    except BadTransition:
        if decision.is_done(join := await find()):
            return join
        raise


async def _see_that_it_can_be_undone(join: IdentityJoin) -> None:
    own = key_rows(join.app_id, join.id)
    if "externalId" in own and await ExternalId.raw().find_one({**own}, {"_id": 1}) is not None:
        raise BadTransition("an external id that was linked to a user stays linked")


async def _decided(join: IdentityJoin, decision: Decision) -> IdentityJoin:
    """Change the join and have a job done about it, all at once."""
    same: Raw = {
        "_id": join.id,
        "state": {"$in": list(decision.before)},
        "due": None,
        "userId": join.user_id,
    }
    update: Raw = {"$set": {**decision.sets, "updatedAt": now()}, "$inc": {"version": 1}}
    if decision.unsets:
        update["$unset"] = dict.fromkeys(decision.unsets, "")

    async def change(session: AsyncClientSession) -> Raw | None:
        row: Raw | None = await IdentityJoin.raw().find_one_and_update(
            same, update, return_document=ReturnDocument.AFTER, session=session
        )
        if row is not None and decision.job is not None:
            await Job(id=PydanticObjectId(), kind=decision.job, run_at=now()).add(session)
        return row

    row = await transaction(change)
    if row is None:
        raise BadTransition(f"this join is not {' or '.join(decision.before)}")
    return IdentityJoin.from_stored(row)
