"""Clears many values of one person in one app: a job from its beginning, done at once as far as a
second goes.

What goes leaves a tombstone each, so that whoever syncs learns of it key by key, and no version
comes twice.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from bson import Timestamp as ClusterTime
from pymongo.asynchronous.client_session import AsyncClientSession

from app.jobs import Claim as Hold
from app.ledger import waited_for
from app.relations.leases import Lease
from app.settings import Settings
from app.web.idempotency import Claim, once
from models.app_data import AppData
from models.app_data_clearing import BATCH, Clearing, bury, forget_activity
from models.base import Raw, now
from models.deletion import Deletion, Stage
from models.job import Job
from models.ledger_note import LedgerNote

CLEAR_JOB: Final = "clear-app-data"
_TAKEN_OVER: Final = timedelta(seconds=30)
"""By a worker, where the process that clears does not get to the end."""
_UNKNOWN: Final = ClusterTime(0, 0)


async def clear(what: Clearing, lease: Lease, claim: Claim | None, settings: Settings) -> Deletion:
    """Clear what is there now.

    Args:
        what: is to be cleared; `at` and `until` are filled in.
        lease: on the person.
        claim: of the request.
        settings: how long to clear at once before the rest is left to a job; the ledger.

    Returns:
        The ledger's entry. Where it is not `swept`, a job of the same id goes on.

    Raises:
        NotFound: there is no such user.
    """
    begun = what

    async def commit(session: AsyncClientSession, deletion_id: ObjectId) -> None:
        nonlocal begun
        await lease.hold()
        begun = await _begin(what, deletion_id, session)

    done = await once(claim, 200, commit)
    if not done.repeated:
        await _clear_for_a_while(begun, done.resource_id, settings)
    ledger = await Deletion.find_by_id(done.resource_id)
    assert ledger is not None  # receipts are kept
    return ledger


async def go_on(hold: Hold, settings: Settings) -> None:
    """Go on with a clearing that took too long, or whose process was killed."""
    deletion_id, noted = ObjectId(hold.job.id), hold.job.progress
    ledger = await Deletion.find_by_id(deletion_id)
    if ledger is None:
        return
    async for after in _clear(_read(noted, ledger), deletion_id, noted.get("after", ""), settings):
        await hold.renew(after=after)
    await hold.renew(prefix="", after="")  # keys may tell of a person


async def _begin(what: Clearing, deletion_id: ObjectId, session: AsyncClientSession) -> Clearing:
    """Enter the ledger, and have a job that goes on with it; what is to be cleared, filled in."""
    moment = now()
    entry = Deletion(
        id=PydanticObjectId(deletion_id),
        root=AppData.collection_name(),
        by=what.by,
        app_id=what.app_id,
        at=moment,
    )
    await entry.add(session)
    told: Any = session.cluster_time
    begun = replace(what, at=moment, until=told["clusterTime"])
    if what.forget:
        await LedgerNote.enter([_told(begun, deletion_id)], session)
    due, progress = moment + _TAKEN_OVER, _noted(begun)
    await Job(id=deletion_id, kind=CLEAR_JOB, run_at=due, progress=progress).add(session)
    return begun


async def _clear_for_a_while(what: Clearing, deletion_id: ObjectId, settings: Settings) -> None:
    """Clear as long as a caller waits; the rest is the job's, which is due now."""
    deadline = time.monotonic() + settings.deletion_inline_seconds
    async for _ in _clear(what, deletion_id, "", settings):
        if time.monotonic() > deadline:
            await Job.raw().update_one(_unclaimed(deletion_id), {"$set": {"runAt": now()}})
            return
    await Job.raw().delete_one(_unclaimed(deletion_id))


async def _clear(
    what: Clearing, deletion_id: ObjectId, after: str, settings: Settings
) -> AsyncIterator[str]:
    """Clear batch by batch; gives the key that it has come to after each, and notes in the ledger
    that it is done."""
    following: str | None = after
    while following is not None:
        count, following = await bury(what, following)
        await _count(deletion_id, "appdata", count)
        if following is not None:
            yield following
    while what.forget:
        count = await forget_activity(what)
        await _count(deletion_id, "activities", count)
        if count < BATCH:
            break
        yield "\x7f"
    await _finish(deletion_id, settings)


async def _finish(deletion_id: ObjectId, settings: Settings) -> None:
    """Note in the ledger that it is done, for good where nobody may still write."""
    final = not await waited_for(settings, [deletion_id])
    done: Raw = {"stage": Stage.DONE.value, "final": final, "updatedAt": now()}
    if not final:
        done["nextSweepAt"] = now() + timedelta(seconds=settings.deletion_fence_seconds)
    await Deletion.raw().update_one({"_id": deletion_id}, {"$set": done})


async def _count(deletion_id: ObjectId, name: str, count: int) -> None:
    if count:
        await Deletion.raw().update_one({"_id": deletion_id}, {"$inc": {f"deleted.{name}": count}})


def _unclaimed(deletion_id: ObjectId) -> dict[str, Any]:
    return {"_id": deletion_id, "fence": 0}  # a worker that has the job by now ends it, too


def _told(what: Clearing, deletion_id: ObjectId) -> dict[str, Any]:
    """The note of it for the ledger outside."""
    until = [what.until.time, what.until.inc]
    place = {"subject": what.user_id, "app": what.app_id, "of": deletion_id}
    return {"kind": "cleared", **place, "until": until}


def _noted(what: Clearing) -> dict[str, Any]:
    """What a job must know of it, as plain JSON."""
    place = {
        "userId": str(what.user_id),
        "appId": what.app_id,
        "prefix": what.prefix,
        "forget": what.forget,
    }
    return {**place, "until": [what.until.time, what.until.inc], "history": what.history}


def _read(noted: dict[str, Any], ledger: Deletion) -> Clearing:
    place = (ObjectId(noted["userId"]), noted["appId"], noted["prefix"], noted["forget"])
    return Clearing(*place, ledger.by, ledger.at, ClusterTime(*noted["until"]), noted["history"])


def clearing_of(
    user_id: ObjectId, app_id: str, by: str, *, prefix: str = "", forget: bool, history: int
) -> Clearing:
    """What a request asks to be cleared, as of a time that `clear` fills in."""
    return Clearing(user_id, app_id, prefix, forget, by, datetime.min, _UNKNOWN, history)
