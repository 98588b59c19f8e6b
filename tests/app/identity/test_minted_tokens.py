"""A token that a server asked for has never more than the server's key, and nothing of an admin's
that outlives it."""

from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.main import declared_rules
from models import ApiKey, User
from models.api_key import APP_SCOPES, hash_key
from tests.app.withdrawn import at_the_last_moment
from tests.cast import Cast
from tests.factories.changing import asked, by_id, everything
from tests.factories.grants import GRANTS, REFUSED
from tests.factories.operations import LASTING
from tests.harness import Api, Caller

ACCESS = declared_rules()

pytestmark = pytest.mark.usefixtures("no_hosts")
WRITES = sorted(
    name
    for name, access in ACCESS.items()
    if access.owner and not access.public and not name.startswith("GET ") and name not in LASTING
)
"""What a person writes of an app's: it is honoured until the token expires."""


async def minted(api: Api, user_id: str, scope: str = "sessions:write") -> tuple[Caller, Caller]:
    """A key, and a user by a token that it asked for."""
    key = await api.key(scope)
    answer = await key.post(f"/v1/users/{user_id}/sessions")
    assert answer.status_code == 201, answer.text
    return key, api.caller(answer.json()["accessToken"], user_id)


def test_what_is_left_are_writes_of_an_apps_data_activity_and_events() -> None:
    assert {ACCESS[name].scope for name in WRITES} <= APP_SCOPES
    assert len(WRITES) == 10


@GRANTS
@pytest.mark.parametrize("route", LASTING)
async def test_of_whom_becomes_an_admin_nothing_is_written_that_outlives_the_token(
    database: AsyncDatabase[Any],
    api: Api,
    person: Caller,
    places: dict[str, str],
    route: str,
    grant: dict[str, Any],
) -> None:
    _, token = await minted(api, person.id)
    await User.change({"_id": ObjectId(person.id)}, grant)
    before = await everything(database)
    answer = await asked(token, route, places)
    assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (
        403,
        "forbidden",
        REFUSED,
    )
    after = await everything(database)
    assert {name: by_id(rows) for name, rows in after.items()} == {
        name: by_id(rows) for name, rows in before.items()
    }


@pytest.mark.parametrize("route", LASTING)
async def test_of_whom_becomes_an_admin_meanwhile_neither(
    database: AsyncDatabase[Any],
    api: Api,
    person: Caller,
    places: dict[str, str],
    route: str,
    monkeypatch: Any,
) -> None:
    _, token = await minted(api, person.id)
    before = await everything(database)

    async def grant() -> None:
        await User.raw().update_one({"_id": ObjectId(person.id)}, {"$set": {"role": "admin"}})

    happened = at_the_last_moment(monkeypatch, grant)
    answer = await asked(token, route, places)
    assert (happened, answer.status_code) == (["it has"], 403), answer.text
    await User.raw().update_one({"_id": ObjectId(person.id)}, {"$unset": {"role": ""}})
    after = await everything(database)
    assert {name: by_id(rows) for name, rows in after.items() if rows} == {
        name: by_id(rows) for name, rows in before.items() if rows
    }


@pytest.mark.parametrize("meanwhile", [False, True], ids=["before", "meanwhile"])
@pytest.mark.parametrize("route", LASTING)
async def test_a_token_outlives_its_key_for_nothing_that_outlives_the_token(
    database: AsyncDatabase[Any],
    api: Api,
    person: Caller,
    places: dict[str, str],
    route: str,
    meanwhile: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, token = await minted(api, person.id)
    before = await everything(database)

    async def revoke() -> None:
        await ApiKey.raw().delete_one({"hash": hash_key(key.credential or "")})

    if meanwhile:
        happened = at_the_last_moment(monkeypatch, revoke)
    else:
        await revoke()
        happened = ["it has"]
    answer = await asked(token, route, places)
    assert (happened, answer.status_code) == (["it has"], 401), answer.text
    after = await everything(database)
    assert len(after.pop("apikeys")) == len(before.pop("apikeys")) - 1
    assert {name: by_id(rows) for name, rows in after.items() if rows} == {
        name: by_id(rows) for name, rows in before.items() if rows
    }


@pytest.mark.parametrize(
    "route", ["PATCH /v1/users/{userId}", "POST /v1/projects", "PATCH /v1/projects/{projectId}"]
)
async def test_for_anybody_else_it_is_the_user(
    api: Api, person: Caller, places: dict[str, str], route: str
) -> None:
    _, token = await minted(api, person.id)
    assert (await asked(token, route, places)).is_success


async def test_an_admins_token_that_an_admins_key_asked_for_ends_with_the_key(
    cast: Cast, api: Api
) -> None:
    admin = (await cast.admin.post("/v1/users", json={"role": "admin"})).json()["id"]
    key, token = await minted(api, admin, "admin")
    assert (await token.get("/v1/api-keys")).status_code == 200
    await ApiKey.raw().delete_one({"hash": hash_key(key.credential or "")})
    assert (await token.get("/v1/api-keys")).status_code == 401
    assert (await token.put("/v1/apps/x", json={})).status_code == 401
