"""A cursor is good for the list, the filter and the caller that it was given for, and for nothing
else."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextvars import Context
from typing import Any

import orjson
import pytest

from app.web.cursors import encode_cursor
from tests.cast import Cast
from tests.factories.app_data import DATA
from tests.harness import Caller

ACTIVITY = "/v1/users/me/activity"


async def fill(caller: Caller) -> None:
    for key in ("0-first", "draft.1", "draft.2", "save.1", "save.2"):
        assert (await caller.put(f"{DATA}/{key}?activity=saved", json=1)).status_code == 201


async def cursor_of(caller: Caller, path: str, **params: Any) -> str:
    found = (await caller.get(path, params={"limit": 1, **params})).json()["nextCursor"]
    assert isinstance(found, str)
    return found


async def refused(caller: Caller, path: str, cursor: str, **params: Any) -> bool:
    answer = await caller.get(path, params={"cursor": cursor, **params})
    if answer.status_code == 200:
        return False
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?cursor")
    return True


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"prefix": "save."}, {"prefix": "draft."}),
        ({"prefix": "save."}, {}),
        ({}, {"prefix": "save."}),
    ],
)
async def test_a_cursor_of_another_filter_is_refused(cast: Cast, given: Any, sent: Any) -> None:
    await fill(cast.owner)
    assert await refused(cast.owner, DATA, await cursor_of(cast.owner, DATA, **given), **sent)


async def test_a_cursor_of_another_list_is_refused(cast: Cast) -> None:
    await fill(cast.owner)
    of_users, of_keys = [
        await cursor_of(cast.admin, path) for path in ("/v1/users", "/v1/api-keys")
    ]
    assert await refused(cast.admin, f"/v1/users/{cast.owner.id}/apps/notes/data", of_users)
    assert await refused(cast.admin, "/v1/users", of_keys)
    assert await refused(cast.admin, "/v1/api-keys", of_users)
    of_activity = await cursor_of(cast.owner, ACTIVITY)
    assert await refused(cast.owner, ACTIVITY, of_activity, eventType="saved")
    assert not await refused(cast.owner, ACTIVITY, of_activity)


async def test_a_cursor_of_another_caller_is_refused(cast: Cast) -> None:
    await fill(cast.owner)
    named = f"/v1/users/{cast.owner.id}/apps/notes/data"
    cursor = await cursor_of(cast.owner, named)
    assert await refused(cast.admin, named, cursor)
    assert not await refused(cast.owner, named, cursor)
    assert not await refused(cast.owner, DATA, cursor)  # `me` is the same list


@pytest.mark.parametrize("number", ["many", "-1", "٣", "9" * 19, 1, None])
async def test_a_number_that_no_list_gave_is_refused(cast: Cast, number: Any) -> None:
    """What a cursor is bound to can be read in it, and the rest be written by whoever has it."""
    event = {"appId": "notes", "eventName": "e", "eventCategory": "custom"}
    await cast.admin.post("/v1/analytics/events", json=[{**event, "userId": cast.owner.id}] * 2)
    path = f"/v1/users/{cast.owner.id}/events"
    given = await cursor_of(cast.owner, path)
    *kept, _ = orjson.loads(urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    forged = urlsafe_b64encode(orjson.dumps([*kept, number])).decode()
    assert await refused(cast.owner, path, forged)


async def test_what_a_page_looks_like_may_change_on_the_way(cast: Cast) -> None:
    await fill(cast.owner)
    cursor = await cursor_of(cast.owner, DATA, prefix="save.")
    answer = await cast.owner.get(
        DATA, params={"cursor": cursor, "fields": "dataKey", "limit": 9, "prefix": "save."}
    )
    assert [item["dataKey"] for item in answer.json()["items"]] == ["save.2"]


def test_a_route_that_binds_nothing_cannot_give_a_cursor() -> None:
    with pytest.raises(LookupError):
        Context().run(encode_cursor, "last")
