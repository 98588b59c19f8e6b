"""A user who is deleted while a request's body is on its way leaves nothing behind, however late
the body is."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import Context
from typing import Any

import pytest
from bson import ObjectId

from app.relations.leases import Leases
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.deletions import orphans_of

EVENT = b'{"appId":"notes","eventName":"e","eventCategory":"custom"}'
K = "/v1/users/me/apps/notes/data/k"
WRITES: dict[str, tuple[str, str, bytes, dict[str, str], set[int]]] = {
    "put": ("PUT", K, b"12", {}, {404}),
    "put with an activity": ("PUT", K + "?activity=saved", b"12", {}, {404}),
    "merge patch": (
        "PATCH",
        K,
        b'{"a":1}',
        {"Content-Type": "application/merge-patch+json"},
        {404},
    ),
    "activity": ("POST", "/v1/users/me/activity", b'{"appId":"notes","eventType":"e"}', {}, {404}),
    "activity once": (
        "POST",
        "/v1/users/me/activity",
        b'{"appId":"notes","eventType":"e"}',
        {"Idempotency-Key": "k"},
        {404},
    ),
    "login": ("POST", "/v1/users/me/logins", b'{"appId":"notes"}', {}, {404}),
    "event": ("POST", "/v1/analytics/events", EVENT, {}, {422}),
    "events": (
        "POST",
        "/v1/analytics/events",
        b"[" + EVENT + b"," + EVENT + b"]",
        {},
        {200},
    ),  # set aside, both
}


@pytest.mark.parametrize("name", WRITES)
async def test_a_body_that_ends_after_the_deletion_writes_nothing(cast: Cast, name: str) -> None:
    method, path, body, headers, statuses = WRITES[name]
    await cast.owner.put(K, json={})
    begun, deleted = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield body[:1]
        begun.set()
        await deleted.wait()
        yield body[1:]

    headers = {"Content-Type": "application/json"} | headers
    sending = asyncio.create_task(cast.owner.request(method, path, content=slow(), headers=headers))
    async with asyncio.timeout(10):
        await begun.wait()
    assert (await cast.admin.delete(f"/v1/users/{cast.owner.id}")).status_code == 200
    deleted.set()
    assert (await sending).status_code in statuses
    assert await orphans_of(ObjectId(cast.owner.id)) == {}


@pytest.mark.parametrize("name", WRITES)
async def test_the_lease_is_the_last_thing_that_is_asked_for(
    make_api: MakeApi, cast: Cast, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a request has awaited before: another process deletes the user when the lease is all
    but asked for.

    The deletion has a context of its own, since `transaction()` joins the one that the context
    holds.
    """
    method, path, body, headers, statuses = WRITES[name]
    other = await make_api()
    user = other.token(cast.owner.id)
    await user.put(K, json={})
    armed = True

    def expired(self: Leases, parent_id: ObjectId) -> bool:
        return not armed and is_held(self, parent_id)

    async def deleting(self: Leases, *arguments: Any) -> Any:
        nonlocal armed
        if armed:
            armed = False
            self.drop(ObjectId(cast.owner.id))
            deleted = cast.admin.delete(f"/v1/users/{cast.owner.id}")
            assert (await asyncio.create_task(deleted, context=Context())).status_code == 200
        return await existing(self, *arguments)

    is_held, existing = Leases.is_held, Leases._existing
    monkeypatch.setattr(Leases, "is_held", expired)
    monkeypatch.setattr(Leases, "_existing", deleting)
    headers = {"Content-Type": "application/json"} | headers
    answer = await user.request(method, path, content=body, headers=headers)
    assert answer.status_code in statuses
    assert await orphans_of(ObjectId(cast.owner.id)) == {}
