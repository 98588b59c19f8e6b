"""Declared queries: asked in their order, true of every write, and built for what was there
before."""

from datetime import timedelta
from typing import Any, Final

import pytest
from bson import ObjectId

from app.app_data import query_building
from app.app_data.jobs import handlers
from app.app_data.query_building import BUILD_JOB
from app.jobs import LostClaim, claim_now, ensure_periodic, perform
from app.settings import Settings
from models import app_data_queries
from models.app import App
from models.app_data import AppData
from models.app_data_expiry import expire_due
from models.app_data_queries import give_keys
from models.base import now
from models.job import Job
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.harness import Caller

APP: Final = "/v1/apps/notes"
DATA: Final = "/v1/users/me/apps/notes/data"
BATCH: Final = "/v1/users/me/apps/notes/batch"
BY_DUE: Final = {
    "prefix": "task:",
    "by": [{"pointer": "/due"}, {"pointer": "/prio", "order": "desc"}],
}
BY_PRIO: Final = {"by": [{"pointer": "/prio", "order": "desc"}]}
DECLARED: Final = {"queries": {"byDue": BY_DUE, "byPrio": BY_PRIO}}
TASKS: Final = {
    "task:b": {"due": "2026-01-02", "prio": 1},
    "task:a": {"due": "2026-01-02", "prio": 1},
    "task:c": {"due": "2026-01-02", "prio": 2},
    "task:d": {"due": "2026-01-01"},
    "task:e": {"due": None, "prio": 7},
    "task:f": {"due": 5, "prio": "high"},
    "task:g": "none",
}
IN_ORDER: Final = ["task:e", "task:g", "task:f", "task:d", "task:c", "task:a", "task:b"]


async def declare(cast: Cast, settings: dict[str, Any] = DECLARED) -> None:
    answer = await cast.admin.put(APP, json=settings)
    assert answer.status_code in (200, 201), answer.text


async def build(settings: Settings, *, waited: bool = True) -> Job:
    """What the worker does, long after the settings were put."""
    if waited:
        long_ago = {"$set": {"queriesChangedAt": now() - timedelta(hours=1)}}
        await App.raw().update_one(
            {"_id": "notes", "queriesChangedAt": {"$exists": True}}, long_ago
        )
    await ensure_periodic(BUILD_JOB, BUILD_JOB, 300)
    held = await claim_now(BUILD_JOB)
    assert held is not None
    await perform(held, handlers(settings)[BUILD_JOB])
    job = await Job.find_by_id(BUILD_JOB)
    assert job is not None
    assert job.last_error is None
    return job


async def fill(caller: Caller, values: dict[str, Any] = TASKS) -> None:
    for key, value in values.items():
        assert (await caller.put(f"{DATA}/{key}", json=value)).status_code in (200, 201)


async def asked(caller: Caller, query: str = "byDue", **params: Any) -> list[str]:
    answer = await caller.get(DATA, params={"query": query, **params})
    assert answer.status_code == 200, answer.text
    return [item["dataKey"] for item in answer.json()["items"]]


async def refused(caller: Caller, **params: Any) -> tuple[int, str, str]:
    body = (await caller.get(DATA, params=params)).json()
    return body["status"], body["code"], body.get("errors", [{"pointer": ""}])[0]["pointer"]


@pytest.fixture
async def built(cast: Cast, base_settings: Settings) -> Cast:
    """The queries are declared and built, and there are tasks."""
    await declare(cast)
    await build(base_settings)
    await fill(cast.owner)
    return cast


async def test_values_come_in_the_order_of_the_query(built: Cast) -> None:
    owner = built.owner
    await fill(owner, {"other": {"due": "2026-01-01", "prio": 3}})
    await fill(built.stranger, {"task:theirs": {"due": "2026-01-01"}})
    assert await asked(owner) == IN_ORDER
    assert await asked(owner, order="asc") == IN_ORDER
    assert await asked(owner, order="desc") == IN_ORDER[::-1]
    spans: list[tuple[dict[str, str], list[str]]] = [
        ({"from": "2026-01-02"}, IN_ORDER[4:]),
        ({"from": "5"}, IN_ORDER[2:]),
        ({"from": '"2026"'}, IN_ORDER[3:]),
        ({"from": '"5"'}, []),
        ({"to": "2026-01-02"}, IN_ORDER[:4]),
        ({"from": "null", "to": "6"}, IN_ORDER[:3]),
        ({"from": "false", "to": '"2026-01-02"', "order": "desc"}, ["task:d", "task:f"]),
        ({"from": "2026-01-02", "to": "2026-01-01"}, []),
    ]
    for span, keys in spans:
        assert await asked(owner, **span) == keys
    assert await asked(owner, "byPrio") == [
        *("task:f", "task:e", "other", "task:c", "task:a", "task:b", "task:d", "task:g")
    ]
    assert await asked(owner, "byPrio", **{"from": "2", "to": "7"}) == ["other", "task:c"]
    assert (
        await owner.get(
            DATA, params={"query": "byDue", "from": "5", "limit": 1, "fields": "updatedAt"}
        )
    ).json()["items"][0].keys() == {"dataKey", "version", "updatedAt"}


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_follow_each_other_and_their_cursors_hold_for_nothing_else(
    built: Cast, order: str
) -> None:
    keys, cursor, cursors = [], None, []
    while True:
        params = {
            "query": "byDue",
            "limit": 2,
            "order": order,
            **({"cursor": cursor} if cursor else {}),
        }
        body = (await built.owner.get(DATA, params=params)).json()
        keys += [item["dataKey"] for item in body["items"]]
        cursor = body["nextCursor"]
        if cursor is None:
            break
        cursors.append(cursor)
    assert (keys, len(cursors)) == (IN_ORDER if order == "asc" else IN_ORDER[::-1], 3)
    bad = (422, "invalid", "?cursor")
    for other in (
        {"query": "byPrio", "order": order},
        {"query": "byDue"},
        {"query": "byDue", "from": "1"},
        {},
    ):
        assert await refused(built.owner, cursor=cursors[0], **other) == bad
    assert await refused(built.owner, query="byDue", order=order, cursor="WyJ4Il0") == bad


async def test_a_cursor_ends_with_the_definition(built: Cast, base_settings: Settings) -> None:
    first = (await built.owner.get(DATA, params={"query": "byDue", "limit": 2})).json()
    await declare(built, {"queries": {"byDue": BY_PRIO}})
    await build(base_settings)
    assert await refused(built.owner, query="byDue", cursor=first["nextCursor"]) == (
        422,
        "invalid",
        "?cursor",
    )


async def test_a_page_of_large_values_is_bounded_by_bytes(
    built: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.app_data.routes._PAGE_BYTES", 100)
    await fill(built.owner, {f"task:{key}": {"due": "9", "text": "x" * 60} for key in "xyz"})
    body = (await built.owner.get(DATA, params={"query": "byDue", "from": '"9"'})).json()
    assert [item["dataKey"] for item in body["items"]] == ["task:x"]
    params = {"query": "byDue", "from": '"9"', "cursor": body["nextCursor"]}
    assert [
        item["dataKey"] for item in (await built.owner.get(DATA, params=params)).json()["items"]
    ] == ["task:y"]


@pytest.mark.parametrize("history", [0, 3])
async def test_every_kind_of_write_moves_a_value(
    cast: Cast, base_settings: Settings, history: int
) -> None:
    await declare(cast, {**DECLARED, "history": history})
    await build(base_settings)
    owner, path = cast.owner, f"{DATA}/task:1"
    await fill(owner, {"task:0": {"due": 50}})

    async def batched(**write: Any) -> None:
        answer = await owner.post(BATCH, json={"writes": [{"dataKey": "task:1", **write}]})
        assert answer.json()["results"][0]["status"] == "stored", answer.text

    async def is_at(due: int) -> None:
        assert await asked(owner, **{"from": str(due), "to": str(due + 1)}) == ["task:1"]
        assert len(await asked(owner)) == 2

    await owner.put(path, json={"due": 1})
    await is_at(1)
    await owner.put(path, json={"due": 2}, headers={"If-Match": '"1"'})
    await is_at(2)
    await owner.merge(path, {"due": 3})
    await is_at(3)
    await batched(value={"due": 4})
    await is_at(4)
    await batched(mergePatch={"due": 5}, mutationId="m")
    await is_at(5)
    await batched(delete=True)
    assert await asked(owner) == ["task:0"]
    await batched(value={"due": 6})
    await is_at(6)
    await owner.delete(path)
    assert await asked(owner) == ["task:0"]
    await owner.put(path, json={"due": 7}, params={"activity": "planned"})
    await is_at(7)
    if history:
        await owner.post(f"{path}/restore", json={"version": 7})
        await is_at(6)
    await owner.put(path, json={"due": 8}, params={"ttl": 60})
    await AppData.raw().update_one(
        {"dataKey": "task:1"}, {"$set": {"expiresAt": now() - timedelta(seconds=1)}}
    )
    assert await asked(owner) == ["task:0"]
    assert await expire_due(5) == 1
    assert await AppData.raw().count_documents({"queryKeys": {"$exists": True}}) == 1


async def test_what_rows_keep_for_queries_is_shown_nowhere(built: Cast) -> None:
    stale = {"writes": [{"dataKey": "task:a", "value": 1, "ifVersion": 9}]}
    shown = [
        await built.owner.get(DATA),
        await built.owner.get(DATA, params={"query": "byDue"}),
        await built.owner.get("/v1/users/me/apps/notes/changes"),
        await built.owner.put(f"{DATA}/task:a", json=1, headers={"If-Match": '"9"'}),
        await built.owner.get(f"{DATA}/task:a/history"),
        await built.owner.post(BATCH, json=stale),
        await built.admin.get(APP),
    ]
    assert [answer.status_code for answer in shown] == [200, 200, 200, 412, 200, 200, 200]
    for answer in shown:
        assert "queryKeys" not in answer.text
        assert "queriesReady" not in answer.text


async def test_what_was_there_before_is_built_and_nobody_is_told(
    cast: Cast, base_settings: Settings
) -> None:
    await fill(cast.owner)
    await cast.owner.put(f"{DATA}/task:h", json={"due": {"$ref": 1}})
    await cast.owner.put(f"{DATA}/task:gone", json={"due": 1})
    await cast.owner.delete(f"{DATA}/task:gone")
    before = await AppData.raw().find({}, {"queryKeys": 0}).sort("_id", 1).to_list()
    await declare(cast)
    states = await cast.admin.get(f"{APP}/queries")
    assert states.json() == {"queries": {"byDue": "building", "byPrio": "building"}}
    assert await refused(cast.owner, query="byDue") == (409, "index_building", "")
    await build(base_settings)
    assert await asked(cast.owner) == [*IN_ORDER[:2], "task:h", *IN_ORDER[2:]]
    assert (await cast.admin.get(f"{APP}/queries")).json() == {
        "queries": {"byDue": "ready", "byPrio": "ready"}
    }
    await build(base_settings)
    assert await AppData.raw().find({}, {"queryKeys": 0}).sort("_id", 1).to_list() == before
    tombstone = await AppData.raw().find_one({"deleted": True})
    assert tombstone is not None
    assert "queryKeys" not in tombstone
    assert await App.find_changed_queries(5) == []


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
