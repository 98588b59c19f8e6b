"""The repair of stamps: what was seen much later than it was stamped is stamped anew
(docs/sync.md).

The overlap holds for every transaction, as the database ends them in time. It would not hold where
a clock was put forward between a stamp and its commit. So whatever committed more than half an
overlap after its stamp gets another: then it lies before nobody's cursor. The changes are read from
where the last run stopped, off the oplog.
"""

from typing import Any, Final

from bson import Timestamp as ClusterTime
from pymongo.errors import OperationFailure

from app.database import client
from app.jobs import Claim
from app.sync.overlap import overlap_of
from app.web.observability import log
from models.app_data import AppData
from models.base import Raw

_STAMP: Final = {
    "$ifNull": ["$updateDescription.updatedFields.changedAt", "$fullDocument.changedAt"]
}
_NOTED_EVERY: Final = 100


async def repair(claim: Claim) -> int:
    """Stamp anew what is late among what was written since the last run. Returns how many rows."""
    late = await overlap_of(client()) // 2
    token = claim.job.progress.get("token")
    try:
        return await _follow(claim, token, late)
    except OperationFailure as error:
        if token is None:
            raise
        log.warning("stamps were not looked at for longer than the oplog lasts", code=error.code)
        return await _follow(claim, None, late)


async def _follow(claim: Claim, token: Any, late: int) -> int:
    repaired = seen = 0
    async with await AppData.raw().watch(
        _pipeline(late), resume_after=token, max_await_time_ms=100
    ) as stream:
        while True:
            change = await stream.try_next()
            if change is not None:
                repaired += await _stamp_anew(change)
                seen += 1
            if change is None or seen % _NOTED_EVERY == 0:
                await claim.renew(token=stream.resume_token, repaired=repaired)
            if change is None:
                return repaired


def _pipeline(late: int) -> list[Raw]:
    """Changes that committed more than so many seconds after their stamp: the database leaves the
    others out."""
    seconds = {"$subtract": [{"$tsSecond": "$clusterTime"}, {"$tsSecond": _STAMP}]}
    return [
        {
            "$match": {
                "operationType": {"$in": ["insert", "update", "replace"]},
                "$expr": {"$gt": [seconds, late]},
            }
        },
        {"$project": {"documentKey": 1, "stamp": _STAMP}},
    ]


async def _stamp_anew(change: Raw) -> int:
    stamp: ClusterTime = change["stamp"]
    where = {"_id": change["documentKey"]["_id"], "changedAt": stamp}
    result = await AppData.raw().update_one(
        where, {"$currentDate": {"changedAt": {"$type": "timestamp"}}}
    )
    if result.modified_count:
        log.warning("a value was seen long after its stamp, and stamped anew", stamped=stamp.time)
    return result.modified_count
