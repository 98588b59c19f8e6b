"""Operation: alive, ready, measured; request ids, overload, browsers, and a database that is
gone."""

import asyncio
import re
import time
from typing import Any

import pytest
from bson import ObjectId
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from app.migrations import STEPS, name_of
from app.migrations.step import StepRefused
from indexes import sync
from models.activity import Activity
from models.user import User
from scripts.migrate import take_steps
from tests.app.faults import TRANSIENT, Cable, failing
from tests.cast import Cast
from tests.conftest import MakeApi


async def test_a_process_is_alive(cast: Cast) -> None:
    answer = await cast.nobody.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


READY = {
    "status": "ready",
    "missingIndexes": [],
    "pendingSteps": [],
}  # and how far the clock is ahead


async def test_a_satchel_with_all_its_indexes_and_steps_is_ready(
    cast: Cast, database: AsyncDatabase[Any]
) -> None:
    await take_steps(database)
    answer = await cast.nobody.get("/readyz")
    told = answer.json()
    assert abs(told.pop("clockAheadSeconds")) < 1  # one machine
    assert (answer.status_code, told) == (200, READY)


async def test_a_satchel_with_steps_pending_is_not_ready_and_says_which(
    cast: Cast, database: AsyncDatabase[Any]
) -> None:
    answer = await cast.nobody.get("/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["pendingSteps"] == [name_of(step) for step in STEPS]
    assert "python -m scripts migrate" in answer.json()["detail"]
    await take_steps(database)
    last = name_of(STEPS[-1])
    await database.migrations.delete_one({"_id": last})
    assert (await cast.nobody.get("/readyz")).json()["pendingSteps"] == [last]
    await take_steps(database)
    assert (await cast.nobody.get("/readyz")).json().items() >= READY.items()


async def test_a_step_that_is_refused_leaves_satchel_not_ready(
    cast: Cast, database: AsyncDatabase[Any]
) -> None:
    await Activity(user_id=ObjectId(), app_id="notes", event_type="lost").add()
    with pytest.raises(StepRefused):
        await take_steps(database)
    answer = await cast.nobody.get("/readyz")
    assert (answer.status_code, answer.json()["pendingSteps"]) == (
        503,
        [name_of(step) for step in STEPS[1:]],
    )


async def test_a_satchel_that_lacks_an_index_is_not_ready_and_says_which(
    cast: Cast, database: AsyncDatabase[Any]
) -> None:
    await take_steps(database)
    await User.raw().drop_index("email_1")
    try:
        answer = await cast.nobody.get("/readyz")
        drift = await cast.admin.get("/v1/admin/indexes")
    finally:
        await sync.apply(database, await sync.plan(database))
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert len(answer.json()["missingIndexes"]) == 1
    assert "email_1" in answer.json()["missingIndexes"][0]
    assert "email_1" in " ".join(drift.json()["drift"])
    assert answer.headers["retry-after"]
    assert (await cast.nobody.get("/readyz")).status_code == 200
    assert (await cast.admin.get("/v1/admin/indexes")).json() == {"drift": []}


async def test_without_database_a_process_is_alive_and_answers_503(
    make_api: MakeApi, mongodb_uri: str
) -> None:
    cable = Cable(mongodb_uri)
    api = await make_api(
        mongodb_uri=SecretStr(await cable.connect()), request_timeout_ms=300, pool_min_size=0
    )
    admin = await api.key("admin")
    user = api.token((await admin.post("/v1/users", json={})).json()["id"])
    assert (await user.put("/v1/users/me/apps/notes/data/k", json=1)).status_code == 201
    await cable.cut()
    nobody = api.caller(None)
    assert (await nobody.get("/livez")).status_code == 200
    assert (await nobody.get("/metrics")).status_code == 200
    event = {"appId": "notes", "eventName": "x", "eventCategory": "custom"}
    refused = [
        await nobody.get("/readyz"),
        await user.get("/v1/users/me"),
        await user.merge("/v1/users/me", {"name": "x"}),
        await user.get("/v1/users/me/apps/notes/data/k"),
        await user.put("/v1/users/me/apps/notes/data/k", json=1),
        await user.get("/v1/users/me/apps/notes/data"),
        await user.post("/v1/users/me/activity", json={"appId": "a", "eventType": "x"}),
        await user.post("/v1/analytics/events", json=event),
        await user.get("/v1/analytics/event-counts"),
        await api.caller("sk_" + "x" * 43).get("/v1/users"),
    ]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize(
    "fault", [{"closeConnection": True}, {"errorCode": 11600}, TRANSIENT], ids=repr
)
async def test_a_database_that_keeps_failing_is_503_in_bounded_time(
    make_api: MakeApi, client: AsyncMongoClient[Any], fault: dict[str, Any]
) -> None:
    api = await make_api(request_timeout_ms=500)
    admin = await api.key("admin")
    user = api.token((await admin.post("/v1/users", json={})).json()["id"])
    started = time.monotonic()
    async with (
        failing(client, "insert", "findAndModify", mode="alwaysOn", **fault),
        asyncio.timeout(20),
    ):
        answers = [
            await admin.post("/v1/users", json={}),
            await user.put("/v1/users/me/apps/notes/data/k", json=1),
            await user.put("/v1/users/me/apps/notes/data/k", json=1, params={"activity": "x"}),
        ]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert time.monotonic() - started < 10
    async with asyncio.timeout(
        10
    ):  # the driver looks for the primary again, at most twice a second
        while (
            after := await user.put("/v1/users/me/apps/notes/data/k", json=1)
        ).status_code == 503:
            pass
    assert after.status_code == 201


async def test_a_passing_failure_of_the_primary_is_not_seen(
    cast: Cast, client: AsyncMongoClient[Any]
) -> None:
    async with failing(client, "findAndModify", mode={"times": 1}, closeConnection=True):
        assert (await cast.owner.put("/v1/users/me/apps/notes/data/k", json=1)).status_code == 201


async def test_requests_are_measured_by_their_template(cast: Cast) -> None:
    await cast.owner.put("/v1/users/me/apps/notes/data/measured-key", json=1)
    await cast.owner.get("/v1/users/me/profile")
    await cast.nobody.get("/no/such/path")
    answer = await cast.nobody.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        (
            'satchel_request_seconds_count{method="PUT",'
            'route="/v1/users/{userId}/apps/{appId}/data/{dataKey}",status="201"}'
        ),
        'satchel_request_seconds_count{method="GET",route="/v1/users/{userId}/profile",status="200"}',
        'satchel_request_seconds_count{method="any",route="unmatched",status="404"}',
        'satchel_mongodb_command_seconds_count{command="findAndModify",outcome="ok"}',
        'satchel_mongodb_pool_connections{state="open"}',
        "satchel_requests_in_flight",
        "satchel_requests_waiting",
        "satchel_requests_refused_total",
        "satchel_late_swept_documents_total",
    ):
        assert re.search("^" + re.escape(line) + r" [0-9.e+]+$", answer.text, re.MULTILINE)
    assert "measured-key" not in answer.text
    assert cast.owner.id not in answer.text
