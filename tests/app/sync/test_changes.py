"""Changes: the live values, then from cursor to cursor what was written, deleted or has ended."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.sync import changes, routes
from app.sync.hub import hub_of
from app.web.streams.stream import stop, stopping
from models.api_key import ApiKey
from models.app_data import AppData
from models.app_data_expiry import expire_due
from models.base import Raw
from tests.cast import Cast, enrol
from tests.factories.app_data import DATA
from tests.factories.changes import CHANGES, ask, follow, put, told
from tests.harness import Api, Caller


async def test_without_a_cursor_the_live_values_come_in_their_envelopes(cast: Cast) -> None:
    await put(cast.owner, "b", "a", "gone")
    await cast.owner.delete(f"{DATA}/gone")
    body = await ask(cast.owner)
    assert told(body["changes"]) == [("a", 1, 1), ("b", 1, 1)]
    assert set(body["changes"][0]) == {"dataKey", "value", "version", "createdAt", "updatedAt"}
    assert body["more"] is False


async def test_from_a_cursor_come_the_changes_since_and_nothing_twice(cast: Cast) -> None:
    await put(cast.owner, "a", "b")
    _, cursor = await follow(cast.owner)
    assert (await ask(cast.owner, cursor))["changes"] == []
    await put(cast.owner, "c", "a", value=2)
    await cast.owner.delete(f"{DATA}/b")
    found, cursor = await follow(cast.owner, cursor)
    assert told(found) == [("c", 1, 2), ("a", 2, 2), ("b", 2, "gone")]
    assert set(found[2]) == {"dataKey", "version", "deleted", "updatedAt"}
    assert await follow(cast.owner, cursor) == ([], (await ask(cast.owner, cursor))["cursor"])


async def test_a_key_that_changed_often_comes_once_as_it_is(cast: Cast) -> None:
    _, cursor = await follow(cast.owner)
    for number in range(5):
        await put(cast.owner, "a", value=number)
    assert told((await ask(cast.owner, cursor))["changes"]) == [("a", 5, 4)]


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_more_than_a_cursor_can_name_come_once_all_the_same(cast: Cast, limit: int) -> None:
    keys = [f"k{number:02}" for number in range(changes.MOST_SENT + 6)]
    await put(cast.owner, *keys)
    found, cursor = await follow(cast.owner, limit=max(limit, 20))
    assert [each["dataKey"] for each in found] == keys
    await put(cast.owner, "k07", "new", value=2)
    found, cursor = await follow(cast.owner, cursor, limit=limit)
    assert told(found) == [("k07", 2, 2), ("new", 1, 2)]
    assert (await follow(cast.owner, cursor))[0] == []


async def test_a_pass_shows_the_moment_of_its_first_page(cast: Cast) -> None:
    await put(cast.owner, "a", "b", "c")
    _, cursor = await follow(cast.owner)
    await put(cast.owner, "a", "b", "c", value=2)
    first = await ask(cast.owner, cursor, limit=1)
    await put(cast.owner, "c", "a", "d", value=3)
    rest, cursor = await follow(cast.owner, first["cursor"], limit=1)
    assert told(first["changes"] + rest) == [("a", 2, 2), ("b", 2, 2), ("c", 2, 2)]
    found, _ = await follow(cast.owner, cursor)
    assert told(found) == [("c", 3, 3), ("a", 3, 3), ("d", 1, 3)]


async def test_a_first_list_shows_the_moment_of_its_first_page(cast: Cast) -> None:
    await put(cast.owner, "a", "b", "c")
    first = await ask(cast.owner, limit=2)
    await put(cast.owner, "a", "c", value=2)
    await cast.owner.delete(f"{DATA}/b")
    rest, cursor = await follow(cast.owner, first["cursor"], limit=2)
    assert told(first["changes"] + rest) == [("a", 1, 1), ("b", 1, 1), ("c", 1, 1)]
    assert told((await follow(cast.owner, cursor))[0]) == [
        ("a", 2, 2),
        ("c", 2, 2),
        ("b", 2, "gone"),
    ]


async def test_rows_of_one_stamp_are_paged_without_gap(
    cast: Cast, database: AsyncDatabase[Raw]
) -> None:
    """As `update_many` and a batch leave them."""
    keys = ["a", "b", "c", "d", "e"]
    await put(cast.owner, *keys)
    _, cursor = await follow(cast.owner)
    await database.appdata.update_many(
        {}, [{"$set": {"changedAt": "$$CLUSTER_TIME", "version": 2}}]
    )
    found, _ = await follow(cast.owner, cursor, limit=2)
    assert told(found) == [(key, 2, 1) for key in keys]


async def test_a_transaction_that_is_open_across_a_poll_is_not_missed(cast: Cast) -> None:
    await put(cast.owner, "a", "b")
    _, cursor = await follow(cast.owner)
    found, cursor = await _open_across(cast, cursor)
    assert told(found) == [("a", 2, "late")]
    assert (await follow(cast.owner, cursor))[0] == []


async def test_without_the_overlap_that_transaction_is_missed(
    cast: Cast, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above is one."""
    await put(cast.owner, "a", "b")
    _, cursor = await follow(cast.owner)
    monkeypatch.setattr(changes, "before", lambda at, _: at)
    found, _ = await _open_across(cast, cursor)
    assert found == []


async def _open_across(cast: Cast, cursor: str) -> tuple[list[Any], str]:
    """A write is stamped, a later one seen, and then the first one commits: what the poll after
    that brings."""
    user = ObjectId(cast.owner.id)
    async with (
        AppData.raw().database.client.start_session() as session,
        await session.start_transaction(),
    ):
        await AppData.put(user, "notes", "a", "late", size=6, by="test", session=session)
        await put(cast.owner, "b", value=2)
        found, cursor = await follow(cast.owner, cursor)
        assert told(found) == [("b", 2, 2)]
    return await follow(cast.owner, cursor)


async def test_large_values_come_on_pages_of_their_own(cast: Cast) -> None:
    _, cursor = await follow(cast.owner)
    keys = [f"k{number:02}" for number in range(20)]
    await put(cast.owner, *keys, value="x" * 500_000)
    for since in (cursor, None):
        first = await ask(cast.owner, since)
        assert len(first["changes"]) == 8 * 1024 * 1024 // 500_002
        rest, _ = await follow(cast.owner, first["cursor"])
        assert [each["dataKey"] for each in first["changes"] + rest] == keys
        assert {len(each["value"]) for each in first["changes"] + rest} == {500_000}


async def test_a_value_whose_time_is_over_is_gone_before_its_tombstone_is_there(
    cast: Cast, database: AsyncDatabase[Raw]
) -> None:
    await put(cast.owner, "a")
    _, cursor = await follow(cast.owner)
    await cast.owner.put(f"{DATA}/a", json=2, params={"ttl": 1})
    await database.appdata.update_many(
        {}, [{"$set": {"expiresAt": {"$subtract": ["$expiresAt", 2000]}}}]
    )
    found, cursor = await follow(cast.owner, cursor)
    assert told(found) == [("a", 2, "gone")]
    assert await expire_due(10) == 1
    assert told((await follow(cast.owner, cursor))[0]) == [("a", 3, "gone")]


async def test_a_prefix_narrows_what_comes(cast: Cast) -> None:
    await put(cast.owner, "todo.1", "note.1")
    found, cursor = await follow(cast.owner, prefix="todo.")
    assert told(found) == [("todo.1", 1, 1)]
    await put(cast.owner, "todo.2", "note.1", "todo.1", value=2)
    assert told((await follow(cast.owner, cursor, prefix="todo.", limit=1))[0]) == [
        ("todo.2", 1, 2),
        ("todo.1", 2, 2),
    ]


async def test_keys_that_the_driver_takes_for_references_come_as_they_were_sent(cast: Cast) -> None:
    _, cursor = await follow(cast.owner)
    value = {"$ref": "a", "$id": 1, "a.b": {"$c": None}}
    await put(cast.owner, "a", value=value)
    assert (await ask(cast.owner, cursor))["changes"][0]["value"] == value


async def test_a_wait_ends_with_the_change(cast: Cast, api: Api) -> None:
    await put(cast.owner, "a")
    _, cursor = await follow(cast.owner)
    waiting = asyncio.create_task(ask(cast.owner, cursor, wait=25))
    hub = hub_of({"app": api.app})
    while not hub._listeners:
        await asyncio.sleep(0.001)
    await put(cast.owner, "a", value=2)
    hub.poke_all()
    body = await waiting
    assert told(body["changes"]) == [("a", 2, 2)]
    assert hub._listeners == {}


async def test_a_wait_ends_with_the_key_that_it_was_asked_with(cast: Cast, api: Api) -> None:
    key = await api.key("data:read")
    path = CHANGES.replace("/me/", f"/{cast.owner.id}/")
    cursor = (await key.get(path)).json()["cursor"]
    waiting = asyncio.create_task(key.get(path, params={"since": cursor, "wait": 25}))
    hub = hub_of({"app": api.app})
    while not hub._listeners:
        await asyncio.sleep(0.001)
    row = await ApiKey.raw().find_one({"scopes": ["data:read"]}) or {}
    assert (await cast.admin.delete(f"/v1/api-keys/{row['_id']}")).status_code == 204
    await put(cast.owner, "a")
    hub.poke_all()
    answer = await waiting
    assert (answer.status_code, "changes" in answer.json()) == (401, False)


async def test_a_wait_without_a_change_ends_empty(cast: Cast) -> None:
    _, cursor = await follow(cast.owner)
    body = await ask(cast.owner, cursor, wait=1)
    assert (body["changes"], body["more"]) == ([], False)


async def test_a_wait_ends_when_the_server_stops(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cursor = await follow(cast.owner)
    scopes: list[Any] = []

    def kept(scope: Any) -> asyncio.Event:
        scopes.append(scope)
        return stopping(scope)

    monkeypatch.setattr(routes, "stopping", kept)
    waiting = asyncio.create_task(ask(cast.owner, cursor, wait=25))
    while not scopes:
        await asyncio.sleep(0.001)
    stop(scopes[0])
    assert (await waiting)["changes"] == []


async def test_who_waits_has_no_place(make_api: Any) -> None:
    api = await make_api(max_in_flight=1, max_waiting=0)
    cast = await enrol(api)
    _, cursor = await follow(cast.owner)
    waiting = asyncio.create_task(ask(cast.owner, cursor, wait=25))
    hub = hub_of({"app": api.app})
    while not hub._listeners:
        await asyncio.sleep(0.001)
    while (await cast.owner.put(f"{DATA}/a", json=1)).status_code == 503:
        await asyncio.sleep(0.01)  # it is still reading
    hub.poke_all()
    assert told((await waiting)["changes"]) == [("a", 1, 1)]


@pytest.mark.parametrize(
    ("bounds", "caller", "status"),
    [
        ({"event_streams_per_user": 1}, "owner", 429),
        ({"event_streams_per_user": 1}, "stranger", 200),
        ({"event_streams": 1}, "stranger", 503),
    ],
)
async def test_so_many_polls_may_wait_and_no_more(
    make_api: Any, bounds: dict[str, int], caller: str, status: int
) -> None:
    """Who is refused may come again; who has something to hear need not wait, and is answered."""
    api = await make_api(**bounds)
    cast = await enrol(api)
    second: Caller = getattr(cast, caller)
    cursors = {each: (await follow(getattr(cast, each)))[1] for each in ("owner", "stranger")}
    first = asyncio.create_task(ask(cast.owner, cursors["owner"], wait=25))
    while not len(api.app.state.waiting_polls):
        await asyncio.sleep(0.001)
    params = {"since": cursors[caller], "wait": 1}
    answer = await second.get(CHANGES, params=params)
    assert answer.status_code == status
    assert status == 200 or 5 <= int(answer.headers["retry-after"]) <= 30
    await put(second, "a")
    assert told((await ask(second, cursors[caller], wait=25))["changes"]) == [("a", 1, 1)]
    hub_of({"app": api.app}).poke_all()
    await put(cast.owner, "b")
    hub_of({"app": api.app}).poke_all()
    await first
    assert len(api.app.state.waiting_polls) == 0
    assert (await second.get(CHANGES, params=params)).status_code == 200
