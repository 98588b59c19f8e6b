"""Queries of app data whose settings change while they are built and written."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.app_data import query_building
from app.app_data.query_building import BUILD_JOB
from app.jobs import LostClaim
from app.settings import Settings
from models import app_data_queries
from models.app import App
from models.app_data import AppData
from models.app_data_queries import give_keys
from models.base import now
from models.job import Job
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.queries import (
    APP,
    BY_DUE,
    BY_PRIO,
    DATA,
    IN_ORDER,
    TASKS,
    asked,
    build,
    declare,
    fill,
    refused,
)


async def test_a_process_that_goes_by_former_settings_leaves_no_value_out(
    cast: Cast, base_settings: Settings, make_api: MakeApi
) -> None:
    late = (await make_api(credential_cache_seconds=60)).token(cast.owner.id)
    await fill(late, {"task:0": {"due": 0}})  # it remembers the settings from now on
    settings = base_settings.model_copy(update={"credential_cache_seconds": 60})
    await declare(cast)
    job = await build(settings, waited=False)
    app = await App.find_by_id("notes")
    assert app is not None
    assert app.queries_changed_at is not None
    assert job.run_at == app.queries_changed_at + timedelta(seconds=70)
    assert await refused(cast.owner, query="byDue") == (409, "index_building", "")
    await fill(late, {"task:1": {"due": 1}})
    row = await AppData.raw().find_one({"dataKey": "task:1"})
    assert row is not None
    assert "queryKeys" not in row
    await build(settings)
    assert await asked(cast.owner) == ["task:0", "task:1"]
    await fill(late, {"task:2": {"due": 2}})  # as if it had been on its way all the while
    assert await asked(cast.owner) == ["task:0", "task:1"]
    await build(settings)
    assert await asked(cast.owner) == ["task:0", "task:1", "task:2"]


async def test_a_write_meanwhile_is_not_undone(
    cast: Cast, base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(cast.owner, {"task:1": {"due": 1}, "task:2": {"due": 2}, "task:3": {"due": 3}})
    await declare(cast, {"queries": {"byDue": BY_DUE}})
    rows = AppData.raw()

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(rows, name)

        async def bulk_write(self, changes: Any, **options: Any) -> Any:
            monkeypatch.undo()
            await fill(cast.owner, {"task:1": {"due": 9}})
            await cast.owner.delete(f"{DATA}/task:2")
            return await rows.bulk_write(changes, **options)

    app = await App.find_by_id("notes")
    assert app is not None
    monkeypatch.setattr(AppData, "raw", Slow)
    assert await give_keys(app, None, 5) is None
    (query,) = app_data_queries.queries_of(app).values()
    found = {row["dataKey"]: row.get("queryKeys") async for row in AppData.raw().find({})}
    written = query.key_of(ObjectId(cast.owner.id), "task:1", {"due": 9})
    assert (found["task:1"], found["task:2"]) == ({query.id: written}, None)
    await build(base_settings)
    assert await asked(cast.owner) == ["task:3", "task:1"]
    assert (
        await AppData.raw().count_documents({"deleted": True, "queryKeys": {"$exists": True}}) == 0
    )


async def test_settings_that_are_put_meanwhile_are_not_taken_for_built(
    cast: Cast, base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(cast.owner)
    await declare(cast, {"queries": {"byDue": BY_DUE}})

    async def put_meanwhile(*args: Any) -> Any:
        await declare(cast, {"queries": {"byDue": BY_PRIO}})
        return await give_keys(*args)

    monkeypatch.setattr(query_building, "give_keys", put_meanwhile)
    await build(base_settings)
    assert await refused(cast.owner, query="byDue") == (409, "index_building", "")


async def test_who_takes_over_goes_on_where_the_other_was(
    cast: Cast, base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(cast.owner)
    await declare(cast)
    begun: list[ObjectId | None] = []

    async def two(app: App, after: ObjectId | None, _: int) -> ObjectId | None:
        begun.append(after)
        if len(begun) == 3:
            raise LostClaim
        return await give_keys(app, after, 2)

    monkeypatch.setattr(query_building, "give_keys", two)
    await build(base_settings)
    let_go = {"$set": {"runAt": now()}, "$unset": {"leasedUntil": ""}}
    await Job.raw().update_one({"_id": BUILD_JOB}, let_go)
    changed = await App.raw().distinct("queriesChangedAt")
    await build(base_settings, waited=False)
    assert await App.raw().distinct("queriesChangedAt") == changed
    assert begun[3] == begun[2] is not None
    assert await asked(cast.owner) == IN_ORDER


async def test_other_settings_leave_a_query_built_and_one_that_was_away_is_not(
    built: Cast, base_settings: Settings
) -> None:
    more = {"byDue": BY_DUE, "byPrio": BY_PRIO, "more": {"by": [{"pointer": ""}]}}
    await declare(built, {"name": "Notes", "queries": more})
    assert await asked(built.owner) == IN_ORDER
    assert await refused(built.owner, query="more") == (409, "index_building", "")
    await build(base_settings)
    assert len(await asked(built.owner, "more")) == len(TASKS)
    await declare(built, {})
    assert await refused(built.owner, query="byDue") == (422, "invalid", "?query")
    assert await App.find_changed_queries(5) == []
    await declare(built)
    assert await refused(built.owner, query="byDue") == (409, "index_building", "")


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"query": "none"}, "?query"),
        ({"query": ""}, "?query"),
        ({"from": "1"}, "?query"),
        ({"order": "desc"}, "?query"),
        ({"query": "byDue", "prefix": "task:"}, "?prefix"),
        ({"query": "byDue", "keys": "task:a"}, "?keys"),
        ({"query": "byDue", "count": "true"}, "?count"),
        ({"query": "byDue", "order": "up"}, "?order"),
        ({"query": "byDue", "from": "[1]"}, "?from"),
        ({"query": "byDue", "to": "{}"}, "?to"),
        ({"query": "byDue", "to": "x" * 1025}, "?to"),
        ({"query": "byDue", "from": "12345678901234567890"}, "?from"),
    ],
)
async def test_a_question_that_is_none_is_refused(
    built: Cast, params: dict[str, str], pointer: str
) -> None:
    assert await refused(built.owner, **params) == (422, "invalid", pointer)


@pytest.mark.parametrize(
    "queries",
    [
        {f"q{number}": BY_PRIO for number in range(9)},
        {"..": BY_PRIO},
        {"a b": BY_PRIO},
        {"q": {"by": []}},
        {"q": {"by": [{"pointer": "/a"}] * 5}},
        {"q": {"by": [{"pointer": "a"}]}},
        {"q": {"by": [{"pointer": "/~2"}]}},
        {"q": {"by": [{"pointer": "/a", "order": "up"}]}},
        {"q": {"by": [{"pointer": "/a", "more": 1}]}},
        {"q": {"prefix": "a b", "by": [{"pointer": "/a"}]}},
        {"q": {}},
        [],
    ],
)
async def test_settings_that_declare_no_query_are_refused(cast: Cast, queries: Any) -> None:
    answer = await cast.admin.put(APP, json={"queries": queries})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["pointer"].startswith("/queries")
    assert await App.find_by_id("notes") is None


async def test_a_query_shows_no_more_than_the_list(built: Cast) -> None:
    theirs = f"/v1/users/{built.owner.id}/apps/notes/data?query=byDue"
    answers = [
        await each.get(theirs)
        for each in (built.stranger, built.nobody, built.reader, built.app_key)
    ]
    assert [answer.status_code for answer in answers] == [404, 401, 200, 200]
    assert await asked(built.stranger) == []
    other = await built.owner.get("/v1/users/me/apps/boats/data?query=byDue")
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "?query")
    states = [await each.get(f"{APP}/queries") for each in (built.owner, built.nobody, built.admin)]
    assert [answer.status_code for answer in states] == [403, 401, 200]
    assert (await built.admin.get("/v1/apps/boats/queries")).status_code == 404


async def test_an_app_without_queries_keeps_nothing_for_them(cast: Cast) -> None:
    await fill(cast.owner)
    assert await AppData.raw().count_documents({"queryKeys": {"$exists": True}}) == 0
    assert app_data_queries.queries_of(App(id="notes")) == {}
