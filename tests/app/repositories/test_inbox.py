"""The inbox of webhooks, secret rotation, deactivation, health."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.repositories.hosts.registry import HOSTS
from models.base import now
from models.ledger_note import LedgerNote
from models.repository_connection import RepositoryConnection
from models.webhook_event import WebhookEvent
from tests.app.repositories.conftest import KINDS, PATHS, Forge
from tests.outside.git_hosts import sha256_of
from tests.outside.server import Told

SIGNING = [kind for kind, host in HOSTS.items() if host.SIGNATURE_HEADER is not None]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_delivery_is_stored_then_processed_and_shown(forge: Forge, kind: str) -> None:
    await forge.connect(kind)
    taken = await forge.deliver(kind)
    assert (taken.status_code, taken.json()["duplicate"]) == (202, False)
    (event,) = await forge.events()
    assert (event["id"], event["status"], "payload" in event) == (
        taken.json()["id"],
        "received",
        False,
    )
    await forge.run_jobs()
    (event,) = await forge.events(payload=True, status="processed")
    assert event["payload"] == forge.hosts[kind].payload(forge.hosts[kind].repos[PATHS[kind]])
    health = await forge.health()
    assert (health["healthStatus"], health["lastDeliveryAt"]) == ("healthy", event["receivedAt"])


@pytest.mark.parametrize("kind", KINDS)
async def test_forged_and_unsigned_deliveries_are_refused_like_those_to_nobody(
    forge: Forge, kind: str
) -> None:
    shown = (await forge.connect(kind)).json()
    name = forge.hosts[kind].proof
    bad: list[Any] = ["", "x", "sha256=" + "0" * 64, "sha256=é".encode()]
    forged = [await forge.deliver(kind, **{name: value}) for value in bad]
    host = forge.hosts[kind]
    path, body, headers = host.delivery(
        host.repos[PATHS[kind]], host.payload(host.repos[PATHS[kind]])
    )
    changed = await forge.cast.nobody.post(path, content=body[:-1] + b" }", headers=headers)
    nobody = await forge.cast.nobody.post(
        path.replace(shown["id"], "f" * 24), content=body, headers=headers
    )
    other = await forge.cast.nobody.post(
        path.replace(kind.lower(), "svn"), content=body, headers=headers
    )
    refused = [*forged, nobody, other] + ([changed] if kind in SIGNING else [])
    answers = {(each.status_code, each.json()["code"], each.json()["detail"]) for each in refused}
    assert answers == {(401, "bad_signature", "the signature of this delivery is not valid")}
    assert await WebhookEvent.raw().count_documents({"deliveryId": {"$exists": False}}) == 0
    assert await WebhookEvent.raw().count_documents({}) == (0 if kind in SIGNING else 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_delivery_that_comes_again_is_taken_once(forge: Forge, kind: str) -> None:
    await forge.connect(kind)
    host = forge.hosts[kind]
    path, body, headers = host.delivery(
        host.repos[PATHS[kind]], host.payload(host.repos[PATHS[kind]])
    )
    calls = [forge.cast.nobody.post(path, content=body, headers=headers) for _ in range(5)]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {202}
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await WebhookEvent.raw().count_documents({}) == 1


@pytest.mark.parametrize("kind", SIGNING)
async def test_a_captured_delivery_under_another_id_is_a_replay(forge: Forge, kind: str) -> None:
    await forge.connect(kind)
    assert (await forge.deliver(kind)).json()["duplicate"] is False
    assert (await forge.deliver(kind)).json()["duplicate"] is True
    assert await WebhookEvent.raw().count_documents({}) == 1


@pytest.mark.parametrize(
    "body", [b"[]", b"7", b"{", b'{"a": 1e999}', b'{"a": {"$numberLong": 18446744073709551616}}']
)
async def test_a_signed_body_that_cannot_be_stored_is_422(forge: Forge, body: bytes) -> None:
    await forge.connect()
    host = forge.hosts["GitHub"]
    path, _, headers = host.delivery(host.repos["acme/notes"], {})
    (hook,) = host.repos["acme/notes"].hooks.values()
    headers["X-Hub-Signature-256"] = sha256_of(host.secret(hook), body)
    assert (await forge.cast.nobody.post(path, content=body, headers=headers)).status_code == 422
    assert await WebhookEvent.raw().count_documents({}) == 0


async def test_a_delivery_without_its_id_is_422(forge: Forge) -> None:
    await forge.connect()
    answer = await forge.deliver("GitHub", **{"X-GitHub-Delivery": ""})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (
        422,
        "header:x-github-delivery",
    )


async def test_odd_keys_of_a_payload_come_back_as_sent(forge: Forge) -> None:
    await forge.connect()
    payload = {"repository": {"full_name": "acme/notes"}, "$ref": "a", "a.b": {"$id": 1, "$ref": 2}}
    await forge.deliver("GitHub", payload)
    assert (await forge.events(payload=True))[0]["payload"] == payload


async def test_an_event_of_another_repository_fails_and_can_be_redelivered_by_hand(
    forge: Forge,
) -> None:
    await forge.connect()
    await forge.deliver("GitHub", {"repository": {"full_name": "acme/renamed"}})
    await forge.run_jobs()
    (event,) = await forge.events(status="failed")
    assert (event["error"], event["attempts"]) == ("another_repository", 1)
    assert (await forge.health())["healthStatus"] == "degraded"
    path = f"{forge.project}/repository/events/{event['id']}/redeliver"
    assert (await forge.cast.owner.post(path)).json()["attempts"] == 2
    mended = {"$set": {"payload.repository.full_name": "acme/notes"}}
    await WebhookEvent.raw().update_one({"_id": ObjectId(event["id"])}, mended)
    again = (await forge.cast.owner.post(path)).json()
    assert (again["status"], again["error"], again["attempts"]) == ("processed", None, 3)
    other = f"{forge.project}/repository/events/{ObjectId()}/redeliver"
    assert (await forge.cast.owner.post(other)).status_code == 404


async def test_three_failures_and_nothing_else_is_failed(forge: Forge) -> None:
    await forge.connect()
    for number in range(3):
        await forge.deliver(
            "GitHub", {"number": number, "repository": {"full_name": "acme/renamed"}}
        )
    await forge.run_jobs()
    assert ((await forge.health())["healthStatus"], (await forge.health())["reasons"]) == (
        "failed",
        ["deliveries_failed"],
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_rotating_the_secret_accepts_both_for_a_while(forge: Forge, kind: str) -> None:
    await forge.connect(kind)
    host, repo = forge.hosts[kind], forge.hosts[kind].repos[PATHS[kind]]
    old = [host.delivery(repo, host.payload(repo, number=number)) for number in range(2)]
    rotated = await forge.cast.owner.post(f"{forge.project}/repository/rotate-secret")
    assert rotated.status_code == 200
    assert rotated.json()["previousSecretUntil"] is not None
    assert await LedgerNote.raw().count_documents({"what": "repository"}) == 1, (
        "no restore undoes it"
    )
    assert (await forge.deliver(kind, host.payload(repo, number=9))).status_code == 202
    path, body, headers = old[0]
    assert (await forge.cast.nobody.post(path, content=body, headers=headers)).status_code == 202
    over = {"$set": {"previousSecretUntil": now() - timedelta(seconds=1)}}
    await RepositoryConnection.raw().update_one({}, over)
    path, body, headers = old[1]
    assert (await forge.cast.nobody.post(path, content=body, headers=headers)).status_code == 401


async def test_a_host_that_was_not_told_of_the_new_secret_goes_on_with_the_old_one(
    forge: Forge,
) -> None:
    await forge.connect()
    host, repo = forge.hosts["GitHub"], forge.hosts["GitHub"].repos["acme/notes"]
    for number in range(2):
        host.server.faults.append(Told(500))
        rotated = await forge.cast.owner.post(f"{forge.project}/repository/rotate-secret")
        assert (rotated.json()["healthStatus"], rotated.json()["previousSecretUntil"]) == (
            "degraded",
            None,
        )
        assert (await forge.deliver("GitHub", host.payload(repo, number=number))).status_code == 202
    await forge.run_jobs()
    health = await forge.health()
    assert health["healthStatus"] == "healthy"
    assert health["previousSecretUntil"] is not None
    assert (await forge.deliver("GitHub", host.payload(repo, number=3))).status_code == 202


@pytest.mark.parametrize("kind", KINDS)
async def test_a_deactivated_connection_takes_nothing_until_it_is_activated_again(
    forge: Forge, kind: str
) -> None:
    await forge.connect(kind)
    host, repo = forge.hosts[kind], forge.hosts[kind].repos[PATHS[kind]]
    path, body, headers = host.delivery(repo, host.payload(repo))
    off = await forge.cast.owner.merge(f"{forge.project}/repository", {"isActive": False})
    assert (off.status_code, off.json()["isActive"]) == (200, False)
    assert (await forge.cast.nobody.post(path, content=body, headers=headers)).status_code == 401
    await forge.run_jobs()
    assert repo.hooks == {}
    rotated = await forge.cast.owner.post(f"{forge.project}/repository/rotate-secret")
    assert (rotated.status_code, rotated.json()["code"]) == (409, "inactive")
    on = await forge.cast.owner.merge(f"{forge.project}/repository", {"isActive": True})
    assert (on.status_code, on.json()["isActive"]) == (200, True)
    await forge.run_jobs()
    assert len(repo.hooks) == 1
    assert (await forge.deliver(kind)).status_code == 202
    assert (await forge.cast.nobody.post(path, content=body, headers=headers)).status_code in (
        401,
        202,
    )


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"isActive": "no"}, "/isActive"),
        ({"repositoryUrl": "x"}, "/repositoryUrl"),
        ({"accessToken": "x"}, "/accessToken"),
    ],
)
async def test_a_patch_changes_is_active_alone(forge: Forge, patch: Any, pointer: str) -> None:
    await forge.connect()
    answer = await forge.cast.owner.merge(f"{forge.project}/repository", patch)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def due(forge: Forge) -> None:
    await RepositoryConnection.raw().update_many({}, {"$set": {"nextHealthCheckAt": now()}})
    await forge.run_jobs()


async def test_health_follows_the_token_and_the_webhook(forge: Forge) -> None:
    await forge.connect()
    repo = forge.hosts["GitHub"].repos["acme/notes"]
    first = await forge.health()
    repo.hooks.clear()
    await due(forge)
    assert len(repo.hooks) == 1
    assert (await forge.health())["lastHealthCheckAt"] > first["lastHealthCheckAt"]
    forge.hosts["GitHub"].server.faults.append(Told(500))
    await due(forge)
    assert ((await forge.health())["healthStatus"], (await forge.health())["reasons"]) == (
        "degraded",
        ["server_error"],
    )
    managers = set(repo.managers)
    repo.managers.clear()
    await due(forge)
    assert ((await forge.health())["healthStatus"], (await forge.health())["reasons"]) == (
        "failed",
        ["token_refused"],
    )
    repo.managers |= managers
    await due(forge)
    assert (await forge.health())["healthStatus"] == "healthy"
