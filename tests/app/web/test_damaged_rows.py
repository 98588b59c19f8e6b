"""A row that was damaged outside of Satchel, whatever of it and wherever it is: lists go on without
it, what was asked for itself is named, and nothing is a fault that nobody expected."""

import re
from datetime import timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo.errors import DuplicateKeyError, WriteError

from app.analytics.rollup.advance import advance
from models import DOCUMENTS, User
from models.base import Raw, now, rfc3339
from tests.factories.damage import DAMAGE, damaged, places
from tests.factories.operations import operations
from tests.harness import Api, Caller, Reads

ENDLESS: Final = ("events", "metrics")
"""Streams, and what other tests of this process have counted."""
MET: Final = {"unreadable", "unavailable"}
KINDS: Final = list(DAMAGE)
TIMES: Final = ("createdAt", "updatedAt", "version")
AT_ONCE: Final = 6
Asked = tuple[Caller, str]


async def tell_more(admin: Caller, user_id: str) -> None:
    """Events of now, rolled up and not, and an activity."""
    await admin.put("/v1/apps/notes", json={"history": 3, "analyticsProperties": ["page"]})
    common = {"appId": "notes", "eventCategory": "engagement", "userId": user_id}
    events = [
        {**common, "eventName": name, "sessionId": f"s{number}", "eventData": {"page": number}}
        for name in ("a", "b")
        for number in range(3)
    ]
    assert (await admin.post("/v1/analytics/events", json=events)).status_code == 200
    await advance(timedelta(0))
    assert (await admin.post("/v1/analytics/events", json=events[:1])).status_code == 200
    activity = {"appId": "notes", "eventType": "opened"}
    assert (await admin.post(f"/v1/users/{user_id}/activity", json=activity)).status_code == 201


def queries_of(path: str, ids: dict[str, str]) -> list[str]:
    """The parameters with which a route is asked, several times where it counts."""
    span = f"from={rfc3339(now() - timedelta(days=3))}&to={rfc3339(now() + timedelta(days=1))}"
    last = path.rsplit("/", 1)[1]
    if last == "joins":
        return ["?appId=notes"]
    if last == "merge-plan":
        return [f"?into={ids['other']}"]
    if "/analytics/" not in path or last in ("quarantine", "live"):
        return [""]
    if last == "funnel":
        return [f"?{span}&step=a&step=b"]
    if last == "retention":
        return [f"?{span}"]
    if last == "top":
        return [f"?{span}", f"?{span}&property=page", "?property=page"]
    rolling = ["&interval=day&rolling=true"] if last == "active-users" else []
    more = ["&interval=hour&tz=Asia/Kathmandu", f"&userId={ids['userId']}", *rolling]
    return [f"?{span}{each}" for each in more] + ["?from=2020-01-01&to=2026-12-31"]


async def reading(api: Api, reads: Reads, ids: dict[str, str]) -> dict[str, list[Asked]]:
    """What reads each collection: every route, as an admin and as the user."""
    admin, user = await api.key("admin"), api.token(ids["userId"])
    found: dict[str, list[Asked]] = {}
    for name in operations():
        if not name.startswith("GET ") or name.rsplit("/", 1)[1] in ENDLESS:
            continue
        path = re.sub(r"{(\w+)}", lambda match: ids[match[1]], name.removeprefix("GET "))
        callers = [admin]
        if "/me/" in path or path in ("/v1/auth/sessions", "/v1/projects"):
            callers = [user]
        for query in queries_of(path, ids):
            for caller in callers:
                reads.names = set()
                await caller.get(path + query)
                for collection in reads.names - {"apikeys"}:
                    found.setdefault(collection, []).append((caller, path + query))
    return found


def some_of(places: list[Asked], turn: int) -> list[Asked]:
    """As many as a run has time for, others in each turn."""
    return [places[(turn * AT_ONCE + number) % len(places)] for number in range(AT_ONCE)]


async def put_damaged(collection: Any, rows: list[Raw], row: Raw, bad: Raw) -> bool:
    """Have a collection as it was, but for a row; whether its indexes take that."""
    await collection.delete_many({})
    try:
        await collection.insert_many([bad if each is row else each for each in rows])
    except (DuplicateKeyError, WriteError):
        return False
    return True


async def test_no_damaged_row_is_a_fault_that_nobody_expected(
    opened: tuple[Api, dict[str, str]], reads: Reads
) -> None:
    """The fields of a row of each collection, the kinds of damage and what reads it in their turns;
    fields within fields: tests/app/analytics/test_damaged_rollups.py."""
    api, ids = opened
    await tell_more(await api.key("admin"), ids["userId"])
    other = await User.raw().find_one({"_id": {"$ne": ObjectId(ids["userId"])}})
    ids["other"] = str(other["_id"]) if other else ""
    asked, wrong, turn, tried = await reading(api, reads, ids), [], 0, set()
    for document in DOCUMENTS:
        name = document.collection_name()
        collection = document.raw()
        rows = await collection.find({}).to_list()
        row = max(rows, key=lambda each: str(each.get("createdAt", "")))
        for path in places(row) if name in asked else ():
            if len(path) > 1 or path[0] in TIMES:
                continue
            turn += 1
            kind = KINDS[turn * 5 % len(KINDS)]
            bad = damaged(row, path, kind)
            if bad is None or not await put_damaged(collection, rows, row, bad):
                continue
            tried.add(name)
            for caller, place in some_of(asked[name], turn):
                answer = await caller.get(place)
                if answer.status_code >= 500 and answer.json()["code"] not in MET:
                    wrong.append((name, path, kind, place, answer.text))
        await put_damaged(collection, rows, row, row)
    assert wrong == []
    assert len(tried) > 30
