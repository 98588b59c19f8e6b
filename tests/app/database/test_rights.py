"""A right that is taken away while a request is under way: nothing is written by it, whatever the
route."""

from typing import Any

import httpx2
import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.main import declared_rules
from models import ApiKey, RefreshToken, User
from models.api_key import hash_key
from tests.app.withdrawn import at_the_last_moment
from tests.cast import Cast
from tests.factories.changing import asked, by_id, everything
from tests.factories.grants import signed_in
from tests.factories.operations import LASTING
from tests.harness import Api, Caller

ACCESS = declared_rules()

READS = {"POST /v1/apps/{appId}/schemas/check"}
"""What is no GET and writes nothing."""
ADMINS = sorted(
    name
    for name, access in ACCESS.items()
    if access.scope == "admin" and not name.startswith("GET ") and name not in READS
)


pytestmark = pytest.mark.usefixtures("no_hosts")


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "with a key"])
@pytest.mark.parametrize("route", LASTING)
async def test_a_session_that_ends_meanwhile_writes_nothing(
    database: AsyncDatabase[Any],
    person: Caller,
    places: dict[str, str],
    route: str,
    keyed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = await RefreshToken.raw().find_one({"tokenHash": person.id})
    assert session is not None

    async def log_out() -> None:
        await RefreshToken.raw().delete_one({"_id": session["_id"]})

    before = await everything(database)
    happened = at_the_last_moment(monkeypatch, log_out)
    if keyed:
        person = Keyed(person)
    answer = await asked(person, route, places)
    assert happened, answer.text
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert "ended" in answer.json()["detail"]
    await RefreshToken.raw().insert_one(session)
    after = await everything(database)
    assert {name: by_id(rows) for name, rows in after.items() if rows} == {
        name: by_id(rows) for name, rows in before.items() if rows
    }


class Keyed(Caller):
    """The same caller, with an Idempotency-Key."""

    def __init__(self, other: Caller) -> None:
        super().__init__(other._client, other.credential, other.id)

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"Idempotency-Key": "k", **(options.pop("headers", None) or {})}
        return await super().request(method, path, headers=headers, **options)


@pytest.mark.parametrize("route", LASTING)
async def test_the_same_requests_are_done_by_a_session_that_lives(
    person: Caller, places: dict[str, str], route: str
) -> None:
    answer = await asked(person, route, places)
    if route in ("PUT /v1/users/me/email", "POST /v1/users/me/identities"):
        assert answer.json()["errors"][0]["pointer"] == "/code"  # which nobody had sent
    elif route.endswith("/decisions"):
        assert (
            answer.json()["errors"][0]["pointer"] == "/providerId"
        )  # of which there is nothing to decide
    elif "email" in route or "challenges" in route:
        assert answer.status_code == 202
    else:
        assert answer.is_success, answer.text


@pytest.mark.parametrize("route", ADMINS)
async def test_who_is_no_admin_any_more_meanwhile_does_nothing_of_an_admins(
    database: AsyncDatabase[Any], cast: Cast, api: Api, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await signed_in(api, cast)
    await User.raw().update_one({"_id": ObjectId(admin.id)}, {"$set": {"role": "admin"}})
    before = await everything(database)

    async def demote() -> None:
        await User.raw().update_one({"_id": ObjectId(admin.id)}, {"$unset": {"role": ""}})

    happened = at_the_last_moment(monkeypatch, demote)
    answer = await asked(admin, route, {"eventId": "f" * 24})
    assert (happened, answer.status_code, answer.json()["code"]) == (["it has"], 403, "forbidden")
    await User.raw().update_one({"_id": ObjectId(admin.id)}, {"$set": {"role": "admin"}})
    after = await everything(database)
    assert {name: by_id(rows) for name, rows in after.items()} == {
        name: by_id(rows) for name, rows in before.items()
    }


@pytest.mark.parametrize("route", ADMINS)
async def test_an_admins_key_that_is_revoked_meanwhile_does_nothing(
    database: AsyncDatabase[Any], api: Api, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await api.key("admin")

    async def revoke() -> None:
        await ApiKey.raw().delete_one({"hash": hash_key(key.credential or "")})

    await key.get("/v1/api-keys")
    before = await everything(database)
    happened = at_the_last_moment(monkeypatch, revoke)
    answer = await asked(key, route, {"eventId": "f" * 24})
    assert (happened, answer.status_code, answer.json()["code"]) == (
        ["it has"],
        401,
        "unauthenticated",
    )
    after = await everything(database)
    assert len(after.pop("apikeys")) == len(before.pop("apikeys")) - 1
    assert after == before
