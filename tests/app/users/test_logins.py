"""A login: lastLogin, an activity and an event, all three or none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from models.activity import Activity
from models.analytics import Analytics
from tests.app.faults import TRANSIENT, failing
from tests.cast import Cast

LOGINS = "/v1/users/me/logins"
BODY = {"appId": "notes", "sessionId": "s-1"}


async def left(cast: Cast) -> tuple[bool, int, int]:
    """What logins have left: whether there is a lastLogin, how many activities, how many events."""
    user = (await cast.owner.get("/v1/users/me")).json()
    return (
        user["lastLogin"] is not None,
        await Activity.raw().count_documents({}),
        await Analytics.raw().count_documents({}),
    )


async def test_a_login_leaves_three_traces(cast: Cast) -> None:
    before = datetime.now(UTC)
    done = await cast.owner.post(LOGINS, json=BODY)
    assert done.status_code == 201
    user = done.json()["user"]
    moment, slack = (
        datetime.fromisoformat(user["lastLogin"]),
        timedelta(seconds=1),
    )  # the database's clock
    assert before - slack <= moment <= datetime.now(UTC) + slack
    assert user == (await cast.owner.get("/v1/users/me")).json()
    activity = (await cast.owner.get("/v1/users/me/activity")).json()["items"]
    assert [
        (item["id"], item["eventType"], item["appId"], item["sessionId"]) for item in activity
    ] == [(done.json()["activityId"], "login", "notes", "s-1")]
    counts = await cast.owner.get("/v1/analytics/event-counts")
    assert counts.json() == [{"eventName": "login", "count": 1}]


async def test_a_login_moves_no_version(cast: Cast) -> None:
    assert (await cast.owner.post(LOGINS, json=BODY)).json()["user"]["version"] == 1
    assert (
        await cast.owner.merge("/v1/users/me", {"name": "x"}, headers={"If-Match": '"1"'})
    ).status_code == 200


@pytest.mark.parametrize(("command", "skip"), [("update", 0), ("insert", 0), ("insert", 1)])
async def test_a_login_is_noted_as_a_whole_or_not_at_all(
    cast: Cast, client: AsyncMongoClient[Any], command: str, skip: int
) -> None:
    async with failing(client, command, mode={"skip": skip}, errorCode=96):
        answer = await cast.owner.post(LOGINS, json=BODY)
    assert answer.status_code in (500, 503)
    assert answer.headers["content-type"] == "application/problem+json"
    assert await left(cast) == (False, 0, 0)
    assert (await cast.owner.post(LOGINS, json=BODY)).status_code == 201
    assert await left(cast) == (True, 1, 1)


@pytest.mark.parametrize("command", ["update", "insert", "commitTransaction"])
async def test_a_passing_fault_is_not_seen(
    cast: Cast, client: AsyncMongoClient[Any], command: str
) -> None:
    fault: dict[str, Any] = (
        {"closeConnection": True} if command == "commitTransaction" else TRANSIENT
    )
    async with failing(client, command, mode={"times": 1}, **fault):
        assert (await cast.owner.post(LOGINS, json=BODY)).status_code == 201
    assert await left(cast) == (True, 1, 1)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({}, "/appId"), ({"appId": "a b"}, "/appId"), ({**BODY, "x": 1}, "/x"), ([], "")],
)
async def test_other_bodies_are_refused(cast: Cast, body: Any, pointer: str) -> None:
    refused = await cast.owner.post(LOGINS, json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await left(cast) == (False, 0, 0)


async def test_nobody_logs_in_for_others(cast: Cast) -> None:
    path = f"/v1/users/{cast.owner.id}/logins"
    assert (await cast.stranger.post(path, json=BODY)).status_code == 404
    assert (await cast.owner_in_app.post(LOGINS, json={"appId": "boats"})).status_code == 404
    assert (await cast.admin.post(f"/v1/users/{'f' * 24}/logins", json=BODY)).status_code == 404
    assert await left(cast) == (False, 0, 0)
