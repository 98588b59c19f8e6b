"""Who reaches what of projects and repositories: every route, by every kind of caller."""

import pytest

from models.repository_connection import RepositoryConnection
from tests.app.repositories.conftest import Forge
from tests.factories.git_operations import _BODY, RULES
from tests.outside.access import walk


@pytest.mark.parametrize("route", RULES)
async def test_every_kind_of_caller(forge: Forge, route: str) -> None:
    assert (await forge.connect()).status_code == 201
    event = (await forge.deliver()).json()["id"]
    member = forge.cast.owner.id
    if route.startswith("DELETE") and "members" in route:
        other = (await forge.cast.admin.post("/v1/users", json={})).json()["id"]
        await forge.cast.admin.put(f"{forge.project}/members/{other}", json={"role": "member"})
        member = other
    places = {"projectId": forge.project.rsplit("/", 1)[1], "userId": member, "eventId": event}
    named = {name: value for name, value in places.items() if f"{{{name}}}" in route}
    await walk(forge.api, forge.cast, route, RULES[route], named)


async def test_an_empty_patch_of_a_repository_connection_changes_no_version(forge: Forge) -> None:
    await forge.connect()
    path = f"{forge.project}/repository"
    before = await forge.cast.owner.get(path)
    for done in (await forge.cast.owner.merge(path, {}), await forge.cast.owner.patch(path, [])):
        assert (done.status_code, done.headers["etag"]) == (200, before.headers["etag"])
    assert (await forge.cast.owner.get(path)).json() == before.json()


async def test_writes_of_a_repository_connection_that_come_again_late_change_nothing(
    forge: Forge,
) -> None:
    owner, path = forge.cast.owner, f"{forge.project}/repository"
    first, repeat = [
        await owner.put(path, json=_BODY, headers={"Idempotency-Key": "put"}) for _ in range(2)
    ]
    assert (first.status_code, repeat.status_code) == (201, 201)
    assert repeat.json()["id"] == first.json()["id"]
    off, idle, rotated = (
        {"isActive": False},
        {"Idempotency-Key": "idle"},
        {"Idempotency-Key": "rotate"},
    )
    secrets = [await _secret()]
    for _ in range(2):
        assert (await owner.post(f"{path}/rotate-secret", headers=rotated)).status_code == 200
        secrets.append(await _secret())
    assert secrets[0] != secrets[1] == secrets[2]
    assert (await owner.merge(path, {"isActive": True}, headers=idle)).json()["isActive"] is True
    patched = [await owner.merge(path, off, headers={"Idempotency-Key": "off"}) for _ in range(2)]
    assert [answer.json()["isActive"] for answer in patched] == [False, False]
    assert patched[0].headers["etag"] == patched[1].headers["etag"]
    assert (await owner.merge(path, {"isActive": True}, headers=idle)).json()["isActive"] is False
    await owner.merge(path, {"isActive": True}, headers={"Idempotency-Key": "on"})
    before = await owner.get(path)
    assert (await owner.merge(path, off, headers={"Idempotency-Key": "off"})).json()[
        "isActive"
    ] is True
    assert (
        await owner.put(path, json=_BODY, headers={"Idempotency-Key": "put"})
    ).status_code == 201
    assert (await owner.get(path)).headers["etag"] == before.headers["etag"]
    other = await owner.put(
        path, json={**_BODY, "accessToken": "x"}, headers={"Idempotency-Key": "put"}
    )
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


async def _secret() -> object:
    row = await RepositoryConnection.raw().find_one({})
    assert row is not None
    return row["webhookSecret"]
