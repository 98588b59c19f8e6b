"""Days that are large where a part has four events: planted, looked at in the database and in the
files."""

from datetime import timedelta
from typing import Any

from bson import ObjectId

from app.analytics.archive import days as archive_days
from app.analytics.archive import seal_days as archive
from app.analytics.archive.entry import read_part
from app.analytics.archive.files import unpack_ids, unpack_rows
from app.analytics.archive.target import archive_target
from app.analytics.rollup.slots import DAY_MS, day_start, milliseconds
from app.settings import Settings
from models.analytics import Analytics
from models.base import Raw, now
from models.day import CountDay, PeopleDay, SessionDay
from models.seal import ArchivedDay
from tests.app.analytics.conftest import OLD
from tests.factories.events import roll_up

MIDNIGHT = day_start(milliseconds(now() - OLD) // DAY_MS)
NAME = f"{MIDNIGHT:%Y-%m-%d}"


def event(minute: int, **fields: Any) -> Raw:
    moment = MIDNIGHT + timedelta(minutes=minute)
    row: Raw = {
        "_id": ObjectId(),
        "appId": "notes",
        "eventName": "opened",
        "eventCategory": "custom",
        "eventData": {"minute": minute},
        "anonymousId": f"a-{minute % 3}",
        "sessionId": f"s-{minute // 5}",
        "timestamp": moment,
        "receivedAt": moment,
        "createdAt": moment,
        "updatedAt": moment,
        "version": 1,
    }
    return {**row, **fields}


async def planted(api_settings: Settings, rows: list[Raw]) -> list[Raw]:
    """Events of one old day, rolled up and sealed; as they are stored."""
    await Analytics.raw().insert_many(rows)
    await roll_up()
    await archive.seal_due(api_settings, now() - 2 * archive.SETTLED)
    return await stored()


async def stored() -> list[Raw]:
    events = Analytics.raw().with_options(archive_days.ANY_TIME)
    return sorted(await events.find({}).to_list(), key=lambda row: row["_id"])


async def entry() -> Raw:
    (row,) = await ArchivedDay.raw().find({}).to_list()
    return row


async def in_files(settings: Settings) -> list[Raw]:
    """The events in the parts of the day."""
    target, found = archive_target(settings), list[Raw]()
    for part in (await entry())["parts"]:
        batches = [batch async for batch in read_part(target, part, unpack_rows)]
        ids = [batch async for batch in read_part(target, part, unpack_ids)]
        assert [each for batch in ids for each in batch] == [
            row["_id"] for batch in batches for row in batch
        ]
        assert (sum(map(len, batches)), part["rows"] > 0) == (part["rows"], True)
        found += [row for batch in batches for row in batch]
    return sorted(found, key=lambda row: row["_id"])


async def rollups() -> list[Any]:
    """What the rollups say, without when they were written."""
    found = list[Any]()
    for document in (CountDay, PeopleDay, SessionDay):
        rows = await document.raw().find({}).sort("_id", 1).to_list()
        odd = ("createdAt", "updatedAt", "version", "stamp")
        found.append(
            [{name: value for name, value in row.items() if name not in odd} for row in rows]
        )
    return found
