"""Who goes with a deleted account holds no email and no way of signing in any more, though the
sweep is yet to come."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from bson import ObjectId

from app.auth.identities.taking import TELL
from app.jobs import run_one
from app.work import handlers
from models import AuditEvent, AuthIdentity, Job, User
from tests.app.auth.conftest import PHONE, World
from tests.conftest import MakeApi
from tests.factories.emails import ANN, by_code, by_confirming, by_google, put_email
from tests.harness import Caller
from tests.outside.sign_in import NONCE


@pytest.fixture
async def world(make_api: MakeApi, outside: dict[str, Any], _outside: tuple[Any, Any]) -> World:
    """An application that leaves all but the account itself to the sweep."""
    return World(await make_api(**outside, deletion_small_tree=1), *_outside, outside)


async def link_phone(world: World, person: Caller) -> httpx2.Response:
    await world.may_ask_again()
    asked = await person.post("/v1/users/me/identities/challenges", json={"phoneNumber": PHONE})
    answer = {"challengeId": asked.json()["challengeId"], "code": world.mailbox.code(PHONE)}
    return await person.post("/v1/users/me/identities", json={"provider": "phone", **answer})


async def link_google(world: World, person: Caller) -> httpx2.Response:
    token = world.issuer.token("g-1", email=ANN, email_verified=True, hd="example.com")
    body = {"provider": "google", "idToken": token, "nonce": NONCE}
    return await person.post("/v1/users/me/identities", json=body)


async def in_deletion(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """Ann, who has proven her email and signs in by it, by Google and by phone, and goes with her
    account.

    The process ends after the commit.
    """
    admin = await world.api.key("admin")
    account = (await admin.post("/v1/accounts", json={"name": "Acme"})).json()["id"]
    ann = await by_google(world)
    assert (await put_email(world, ann)).status_code == 200
    made = await link_phone(world, ann)
    assert made.status_code == 201, made.text
    for number in range(2):
        await admin.post(f"/v1/accounts/{account}/users", json={"name": str(number)})
    assert (await admin.merge(f"/v1/users/{ann.id}", {"accountId": account})).status_code == 200
    await world.may_ask_again()

    async def died(*_: Any, **__: Any) -> int:
        return 0

    with monkeypatch.context() as patched:
        patched.setattr("app.relations.delete.sweep", died)
        assert (await admin.delete(f"/v1/accounts/{account}")).status_code == 202
    row = await User.raw().find_one({"_id": ObjectId(ann.id)})
    assert row is not None and row["email"] == ANN, "the sweep is yet to come"
    return str(ann.id)


async def by_a_server(world: World) -> str:
    key = await world.api.key("users:write")
    made = await key.post("/v1/users", json={"email": ANN})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def by_a_servers_patch(world: World) -> str:
    key = await world.api.key("users:read", "users:write")
    user = (await key.post("/v1/users", json={"name": "N"})).json()["id"]
    changed = await key.merge(f"/v1/users/{user}", {"email": ANN})
    assert changed.status_code == 200, changed.text
    return str(user)


async def by_sign_in_code(world: World) -> str:
    return str((await by_code(world)).id)


async def by_googles_token(world: World) -> str:
    return str((await by_google(world)).id)


async def by_code_to_a_new_email(world: World) -> str:
    return str((await by_confirming(world)).id)


WAYS = (by_a_server, by_a_servers_patch, by_sign_in_code, by_googles_token, by_code_to_a_new_email)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_an_email_of_somebody_in_deletion_is_free_and_nobody_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, way: Callable[[World], Awaitable[str]]
) -> None:
    gone = await in_deletion(world, monkeypatch)
    taker = await way(world)
    assert taker != gone
    holders = await User.raw().find({"email": ANN}).to_list()
    assert [str(row["_id"]) for row in holders] == [taker]
    assert await AuditEvent.raw().count_documents({"kind": "email_taken"}) == 0
    assert await Job.raw().count_documents({"kind": TELL}) == 0
    while await run_one(handlers(world.api.settings)):
        pass
    assert await User.raw().count_documents({"_id": ObjectId(gone)}) == 0
    assert (await User.raw().find_one({"_id": ObjectId(taker)}) or {}).get("email") == ANN


@pytest.mark.parametrize("provider", ["phone", "google"])
async def test_a_way_of_signing_in_of_somebody_in_deletion_is_linked_by_another(
    world: World, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    gone = await in_deletion(world, monkeypatch)
    person = world.person(await world.by_email("other@example.com"))
    linked = await (link_phone if provider == "phone" else link_google)(world, person)
    assert linked.status_code == 201, linked.text
    found = await AuthIdentity.raw().find({"provider": provider}).to_list()
    assert [str(row["userId"]) for row in found] == [person.id] != [gone]
