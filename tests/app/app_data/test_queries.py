"""Declared queries: asked in their order, true of every write, and built for what was there
before."""

from datetime import timedelta
from typing import Any, Final

import pytest

from app.settings import Settings
from models.app import App
from models.app_data import AppData
from models.app_data_expiry import expire_due
from models.base import now
from tests.cast import Cast
from tests.factories.queries import (
    APP,
    BY_PRIO,
    DATA,
    DECLARED,
    IN_ORDER,
    asked,
    build,
    declare,
    fill,
    refused,
)

BATCH: Final = "/v1/users/me/apps/notes/batch"


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
