"""A right that is taken away while a request is under way: nothing is written by it, whatever the
route."""

import re
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.main import declared_rules
from models import ApiKey, AuthIdentity, Invitation, RefreshToken, User
from models.api_key import hash_key
from models.base import now
from models.repository_connection import RepositoryConnection
from models.webhook_event import WebhookEvent
from tests.app.withdrawn import at_the_last_moment
from tests.cast import Cast
from tests.factories.grants import signed_in
from tests.factories.operations import LASTING, MERGE
from tests.harness import Api, Caller

ACCESS = declared_rules()

READS = {"POST /v1/apps/{appId}/schemas/check"}
"""What is no GET and writes nothing."""
ADMINS = sorted(
    name
    for name, access in ACCESS.items()
    if access.scope == "admin" and not name.startswith("GET ") and name not in READS
)
CONNECTION = {
    "provider": "sandbox",
    "institution": "B",
    "label": "l",
    "accessToken": "sandbox-token-1",
}
REPOSITORY = {
    "repositoryUrl": "https://github.com/acme/notes",
    "serviceType": "GitHub",
    "accessToken": "t",
}
CODE = {"challengeId": "x", "code": "123456"}
BODIES: dict[str, Any] = {
    "PATCH /v1/users/{userId}": {"name": "Eve"},
    "PUT /v1/users/{userId}/profile": {"bio": "x"},
    "PATCH /v1/users/{userId}/profile": {"bio": "x"},
    "PUT /v1/users/{userId}/preferences": {"theme": "dark"},
    "PATCH /v1/users/{userId}/preferences": {"theme": "dark"},
    "POST /v1/users/{userId}/connections": CONNECTION | {"accessToken": "sandbox-token-2"},
    "PATCH /v1/connections/{connectionId}": {"label": "x"},
    "POST /v1/connections/{connectionId}/decisions": {"providerId": "acc_1", "bankAccountId": None},
    "POST /v1/projects": {"name": "x"},
    "PATCH /v1/projects/{projectId}": {"name": "x"},
    "PUT /v1/projects/{projectId}/members/{userId}": {"role": "admin"},
    "PUT /v1/projects/{projectId}/repository": REPOSITORY | {"accessToken": "u"},
    "PATCH /v1/projects/{projectId}/repository": {"isActive": False},
    "PUT /v1/users/me/role": {"role": "creator"},
    "POST /v1/users/me/email": {"email": "new@example.com"},
    "PUT /v1/users/me/email": CODE,
    "POST /v1/users/me/identities": {"provider": "phone", **CODE},
    "POST /v1/users/me/identities/challenges": {"phoneNumber": "+14155550124"},
    "PUT /v1/apps/{appId}": {},
    "POST /v1/admin/card-events/redeliver": {},
    "POST /v1/api-keys": {"name": "x", "scopes": ["data:read"]},
}
OTHERS = ("/users/me/invitations/{projectId}",)
"""Where the project is somebody else's."""


pytestmark = pytest.mark.usefixtures("no_hosts")


@pytest.fixture
async def person(cast: Cast, api: Api) -> Caller:
    return await signed_in(api, cast)


async def made(caller: Caller, path: str, body: Any) -> str:
    answer = await caller.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
async def places(cast: Cast, person: Caller) -> dict[str, str]:
    """What is the person's: a project with a member and a repository, a connection, identities, an
    invitation."""
    user_id: Any = ObjectId(person.id)
    project = await made(person, "/v1/projects", {"name": "Notes"})
    path = f"/v1/projects/{project}"
    assert (
        await cast.admin.put(f"{path}/members/{cast.owner.id}", json={"role": "member"})
    ).status_code == 201
    assert (await person.put(f"{path}/repository", json=REPOSITORY)).status_code == 201
    repository = await RepositoryConnection.raw().find_one({})
    assert repository is not None
    event = {"connectionId": repository["_id"], "deliveryId": "1", "event": "push", "payload": {}}
    told = await WebhookEvent.model_validate(
        {**event, "status": "failed", "receivedAt": now()}
    ).add()
    identities = [
        await AuthIdentity(user_id=user_id, provider=each, provider_id=each).add()
        for each in ("g", "f")
    ]
    theirs = ObjectId(await made(cast.owner, "/v1/projects", {"name": "Theirs"}))
    await Invitation.offer(
        theirs, user_id, user_id, "admin", now() + timedelta(days=1), session=None
    )
    until = now() + timedelta(days=1)
    device = RefreshToken(
        user_id=user_id, token_hash="h", auth_method="google", ends_at=until, expires_at=until
    )
    return {
        "projectId": project,
        "theirs": str(theirs),
        "userId": cast.owner.id,
        "eventId": str(told.id),
        "connectionId": await made(person, "/v1/users/me/connections", CONNECTION),
        "identityId": str(identities[0].id),
        "sessionId": str((await device.add()).id),
    }


async def asked(caller: Caller, route: str, places: dict[str, str]) -> httpx2.Response:
    """A request that would change something."""
    method, template = route.split(" ")
    template = re.sub(r"^/v1/users/\{userId\}", "/v1/users/me", template)
    theirs = any(part in template for part in OTHERS)
    given = {"appId": "notes", "keyId": "f" * 24, **places} | (
        {"projectId": places["theirs"]} if theirs else {}
    )
    options: dict[str, Any] = {"headers": MERGE if method == "PATCH" else {}}
    if route in BODIES:
        options["json"] = BODIES[route]
    return await caller.request(method, template.format(**given), **options)


async def everything(database: AsyncDatabase[Any]) -> dict[str, Any]:
    """All that is stored but counters of requests and guards, which tell nobody anything."""
    names = set(await database.list_collection_names()) - {"budgets", "guards"}
    return {
        name: await database[name].find({}, {"guard": 0, "lastUsedAt": 0}).to_list()
        for name in names
    }


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


def by_id(rows: list[Any]) -> list[Any]:
    return sorted(
        ({k: v for k, v in row.items() if k != "guard"} for row in rows),
        key=lambda row: str(row["_id"]),
    )


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
