"""The database fails at every single command of a deletion: all is there, or nothing is reached and
all is swept."""

from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient

from models import Activity, AppData
from tests.app.faults import failing
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.deletions import finish, ledger_of, orphans_of

COMMANDS = (
    "find",
    "insert",
    "update",
    "delete",
    "findAndModify",
    "aggregate",
    "commitTransaction",
    "getMore",
)
PATHS = (
    "",
    "/profile",
    "/preferences",
    "/complete",
    "/activity",
    "/apps/notes/data",
    "/apps/notes/data/k",
)
MOST = 250
INTERRUPTED = 11601  # which the driver does not try again by itself


async def make_user(cast: Cast, activities: int) -> tuple[ObjectId, dict[str, int]]:
    """A user, and what a deletion of them is to count."""
    user_id = ObjectId((await cast.admin.post("/v1/users", json={})).json()["id"])
    rows = [
        Activity(user_id=user_id, app_id="notes", event_type="bulk").stored()
        for _ in range(activities)
    ]
    await Activity.raw().insert_many(rows)
    await AppData.put(user_id, "notes", "k", 1, size=1, by="test")
    return user_id, {
        "users": 1,
        "profiles": 1,
        "preferences": 1,
        "appdata": 1,
        "activities": activities,
    }


async def is_whole(cast: Cast, user_id: ObjectId, expected: dict[str, int]) -> bool:
    """Whether the user is there with everything; if not, that nothing of them can be reached."""
    statuses = {
        path: (await cast.admin.get(f"/v1/users/{user_id}{path}")).status_code for path in PATHS
    }
    if statuses[""] == 200:
        assert set(statuses.values()) == {200}
        assert await orphans_of(user_id) == {
            name: count for name, count in expected.items() if name != "users"
        }
        return True
    assert set(statuses.values()) == {404}, statuses
    return False


@pytest.mark.parametrize(
    ("activities", "small_tree"), [(3, 500), (700, 5)], ids=["at once", "by sweeps"]
)
async def test_a_fault_at_any_command_leaves_all_or_nothing(
    make_api: MakeApi,
    cast: Cast,
    client: AsyncMongoClient[Any],
    activities: int,
    small_tree: int,
) -> None:
    """From the n-th command on every command fails, for n from the first to the last; others that
    are sent meanwhile are counted, so the same n is not always the same command."""
    api = await make_api(deletion_inline_seconds=30, deletion_small_tree=small_tree)
    admin = api.caller(cast.admin.credential)
    outcomes: list[bool] = []
    status = 0
    while status != 200 and len(outcomes) < MOST:
        user_id, expected = await make_user(cast, activities)
        async with failing(client, *COMMANDS, mode={"skip": len(outcomes)}, errorCode=INTERRUPTED):
            status = (await admin.delete(f"/v1/users/{user_id}")).status_code
        assert status in (200, 500, 503)
        outcomes.append(await is_whole(cast, user_id, expected))
        if outcomes[-1]:
            assert status != 200
            assert (await cast.admin.delete(f"/v1/users/{user_id}")).status_code in (200, 202)
        await finish(api.settings, user_id)
        assert await orphans_of(user_id) == {}
        assert (await ledger_of(user_id)).deleted == expected
    assert status == 200, "there are more commands than were tried"
    assert outcomes[0] and not outcomes[-1]
    assert sum(outcomes) > 6, "the commit point"
    assert len(outcomes) - sum(outcomes) > 3, "the sweep"
