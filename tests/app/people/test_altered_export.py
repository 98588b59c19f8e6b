"""Lines of an export that somebody has altered: each is taken or refused by itself, and what was
taken goes on working."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from models import Activity, Analytics, AppData, User
from models.base import Raw, now, rfc3339
from tests.app.people.conftest import Send
from tests.cast import Cast

ID = "65f0c0ffee0000000000{:04x}"
NOW = rfc3339(now())
FAR = "9999-12-31T23:59:59.999Z"
BORN = {"createdAt": NOW, "updatedAt": NOW, "version": 1}
DOCUMENTS: dict[str, Raw] = {
    "users": {**BORN, "email": "x@example.com", "name": "X", "status": "active", "lastLogin": NOW},
    "profiles": {**BORN, "bio": "Boats.", "avatar": {"url": None}, "metadata": {"a": 1}},
    "preferences": {**BORN, "theme": "dark", "notifications": {"push": True}},
    "authidentities": {**BORN, "provider": "google", "providerId": "g", "emailVerified": False},
    "externalids": {**BORN, "appId": "crm", "externalId": "7"},
    "appdata": {**BORN, "appId": "notes", "dataKey": "k", "value": {"n": 1}, "deleted": False},
    "activities": {
        **{**BORN, "id": ID.format(1), "appId": "notes", "eventType": "read", "eventData": {}},
        "timestamp": NOW,
    },
    "analytics": {
        **{**BORN, "id": ID.format(1), "appId": "notes", "eventName": "e", "eventData": {}},
        **{"eventCategory": "custom", "timestamp": NOW, "receivedAt": NOW, "messageId": "m"},
    },
}
MORE: dict[str, tuple[str, ...]] = {
    "users": ("id", "emailVerifiedAt", "role"),
    "appdata": ("expiresAt",),
    "activities": ("sessionId",),
    "analytics": ("given", "longEventName", "originalTimestamp"),
}
ODD: tuple[Any, ...] = (None, True, -1, 2**63 - 1, 1.5, "", "x", "a\x00", FAR, [], {"$ref": 1})


def one(number: int, kind: str, **altered: Any) -> list[Raw]:
    """A person, and a document of theirs."""
    person = ID.format(number + 16)
    if kind == "users":
        user = {**DOCUMENTS["users"], "email": f"x{number}@example.com", "id": person, **altered}
        return [{"kind": "users", "document": user}]
    document = {**DOCUMENTS[kind], "userId": person}
    for name in ("id", "providerId", "externalId", "messageId"):
        if name in document:
            document[name] = person if name == "id" else f"{name}-{number}"
    document |= altered
    document = {name: each for name, each in document.items() if each is not ...}
    return [*one(number, "users"), {"kind": kind, "document": document}]


def altered_lines() -> Iterator[tuple[str, str, Any, list[Raw]]]:
    """Each field of each kind, missing and with each odd value, of a person of its own."""
    number = 0
    for kind, document in DOCUMENTS.items():
        for name in (*document, *MORE.get(kind, ())):
            for odd in (*ODD, ...):
                if kind == "users" and odd is ...:
                    continue
                number += 1
                yield kind, name, odd, one(number, kind, **{name: odd})


async def test_no_alteration_breaks_a_request_or_what_is_written_later(
    send: Send, cast: Cast
) -> None:
    waiting: list[Raw] = []
    for _, _, _, lines in [*altered_lines(), ("", "", "", [])]:
        if not lines or len(waiting) + len(lines) > 1000:
            results = await send(*waiting)
            assert len(results) == len(waiting)
            waiting = []
        waiting += lines
    async for row in AppData.raw().find({}):
        path = f"/v1/users/{row['userId']}/apps/{row['appId']}/data/{row['dataKey']}"
        answer = await cast.admin.put(path, json={"after": True})
        assert answer.status_code in (200, 201), (answer.text, row)
    latest = rfc3339(now())
    for document, name in ((User, "createdAt"), (User, "lastLogin"), (Activity, "timestamp")):
        (newest,) = await document.raw().find({}).sort(name, -1).limit(1).to_list()
        assert rfc3339(newest[name]) <= latest, (document, name)
    counted = (await cast.admin.get("/v1/analytics/event-counts")).json()
    told = await Analytics.raw().count_documents({"timestamp": {"$gte": now() - timedelta(days=1)}})
    assert sum(each["count"] for each in counted) == told > 30


@pytest.mark.parametrize(
    ("kind", "altered", "pointer", "code"),
    [
        ("users", {"createdAt": FAR}, "/document/createdAt", "out_of_range"),
        ("users", {"lastLogin": FAR}, "/document/lastLogin", "out_of_range"),
        ("appdata", {"version": 2**63 - 1}, "/document/version", "out_of_range"),
        ("appdata", {"version": 0}, "/document/version", "out_of_range"),
        ("appdata", {"expiresAt": FAR}, "/document/expiresAt", "out_of_range"),
        ("activities", {"id": ...}, "/document/id", "malformed"),
        ("activities", {"id": 5}, "/document/id", "malformed"),
        ("activities", {"timestamp": FAR}, "/document/timestamp", "out_of_range"),
        ("analytics", {"timestamp": FAR}, "/document/timestamp", "out_of_range"),
        ("analytics", {"eventName": ...}, "/document/eventName", "missing"),
    ],
)
async def test_what_cannot_be_is_refused_by_its_name(
    send: Send, kind: str, altered: Raw, pointer: str, code: str
) -> None:
    result = (await send(*one(1, kind, **altered)))[-1]
    assert result["status"] == "invalid"
    assert [(each["pointer"], each["code"]) for each in result["errors"]] == [(pointer, code)]


async def test_an_event_that_comes_twice_is_refused_once(send: Send) -> None:
    user, event = one(1, "activities")
    results = await send(user, event, event)
    assert [each["status"] for each in results] == ["created", "created", "invalid"]
    assert results[2]["errors"][0]["pointer"] == "/document/id"
    assert await Activity.raw().count_documents({}) == 1


async def test_of_a_user_who_is_refused_nothing_is_kept(send: Send) -> None:
    """The line after it tells of the same person, and is none without them."""
    wrong = one(1, "users", email="no address", createdAt="2020-01-01T00:00:00Z")
    results = await send(*wrong, *one(1, "profiles"))
    assert [each["status"] for each in results] == ["invalid", "created", "created"]
    row = await User.raw().find_one({})
    assert row is not None and rfc3339(row["createdAt"]) == NOW
    assert results[0]["errors"][0]["pointer"] == "/document/email"
