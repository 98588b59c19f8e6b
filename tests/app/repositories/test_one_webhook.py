"""Two webhooks of ours never stand at one repository, whoever registers, crashes or could not be
removed."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.outside.client import TryLater
from app.outside.keyring import load_keyring
from app.repositories.hosts.webhooks import delivery_url
from app.repositories.registration import tell_host
from models.base import now
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection
from tests.app.repositories.conftest import KINDS, PATHS, TOKEN, Forge
from tests.outside.git_hosts import Repo
from tests.outside.server import Asked, Told


def repo_of(forge: Forge, kind: str = "GitHub") -> Repo:
    return forge.hosts[kind].repos[PATHS[kind]]


async def stored() -> RepositoryConnection:
    row: Any = await RepositoryConnection.raw().find_one({})
    return RepositoryConnection.from_stored(row)


def copied(forge: Forge, kind: str, url: str) -> None:
    """A second webhook stands at the repository, like ours but with this URL."""
    (hook,) = repo_of(forge, kind).hooks.values()
    host = forge.hosts[kind]
    repo_of(forge, kind).hooks[host.new_id(99_999)] = host.with_url(hook, url)


@pytest.mark.parametrize("kind", KINDS)
async def test_two_who_register_at_once_leave_one(forge: Forge, kind: str) -> None:
    await forge.connect(kind)
    repo_of(forge, kind).hooks.clear()
    connection, keyring = await stored(), load_keyring(forge.api.settings)
    server, listed = forge.hosts[kind].server, 0
    both = asyncio.Event()

    async def together(asked: Asked) -> Told:
        nonlocal listed
        told = forge.hosts[kind].serve(asked)
        if asked.method == "GET" and asked.path.endswith("/hooks") and not both.is_set():
            listed += 1
            both.set() if listed == 2 else await both.wait()
        return told

    server.serve = together
    both_told = (tell_host(connection, forge.api.settings, keyring) for _ in range(2))
    await asyncio.gather(*both_told)
    assert listed == 2
    assert list(repo_of(forge, kind).hooks) == [(await stored()).webhook_id]
    assert (await forge.deliver(kind)).status_code == 202


@pytest.mark.parametrize("kind", KINDS)
async def test_a_second_one_with_our_url_is_removed_by_the_health_check(
    forge: Forge, kind: str
) -> None:
    await forge.connect(kind)
    (hook,) = repo_of(forge, kind).hooks.values()
    copied(forge, kind, forge.hosts[kind].url(hook))
    await forge.look()
    assert len(repo_of(forge, kind).hooks) == 1
    assert (await forge.deliver(kind)).status_code == 202


@pytest.mark.parametrize("kind", KINDS)
async def test_a_crash_between_the_hosts_answer_and_our_write_leaves_one(
    forge: Forge, kind: str
) -> None:
    await forge.connect(kind)
    lost = {"$set": {"webhookStale": True, "nextHealthCheckAt": now()}, "$unset": {"webhookId": ""}}
    await RepositoryConnection.raw().update_one({}, lost)
    await forge.run_jobs()
    assert list(repo_of(forge, kind).hooks) == [(await stored()).webhook_id]


@pytest.mark.parametrize("kind", KINDS)
async def test_one_that_could_not_be_removed_is_removed_when_the_repository_is_connected_again(
    forge: Forge, kind: str
) -> None:
    await forge.connect(kind)
    await forge.cast.owner.delete(f"{forge.project}/repository")
    await OutsideLink.raw().delete_many({})  # given up
    assert len(repo_of(forge, kind).hooks) == 1
    again = await forge.connect(kind)
    (hook,) = repo_of(forge, kind).hooks.values()
    assert forge.hosts[kind].url(hook).endswith(again.json()["id"])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stray_one_of_ours_is_removed_by_the_health_check_and_others_stay(
    forge: Forge, kind: str
) -> None:
    await forge.connect(kind)
    copied(forge, kind, delivery_url(forge.api.settings, kind, ObjectId()))
    await forge.look()
    assert len(repo_of(forge, kind).hooks) == 1
    for url in (
        "https://satchel.example/v1/webhooks/teller",
        "https://elsewhere.example/v1/webhooks/github/" + "0" * 24,
    ):
        copied(forge, kind, url)
        await forge.look()
        assert len(repo_of(forge, kind).hooks) == 2
        repo_of(forge, kind).hooks.popitem()


async def test_a_webhook_that_comes_to_be_after_it_was_disconnected_is_removed(
    forge: Forge,
) -> None:
    server = forge.hosts["GitHub"].server
    await forge.connect()
    repo_of(forge).hooks.clear()
    connection, keyring = await stored(), load_keyring(forge.api.settings)
    server.faults.extend([None, None, lambda asked, told: Told(504)])  # created, and not answered
    with pytest.raises(TryLater):
        await tell_host(connection, forge.api.settings, keyring)
    late = dict(repo_of(forge).hooks)
    repo_of(forge).hooks.clear()
    await forge.cast.owner.delete(f"{forge.project}/repository")
    await forge.run_jobs()
    repo_of(forge).hooks |= late
    link: Any = await OutsideLink.raw().find_one({})
    assert link["nextAttemptAt"] > now() + timedelta(seconds=4)
    await OutsideLink.raw().update_many({}, {"$set": {"nextAttemptAt": now()}})
    await forge.run_jobs()
    assert repo_of(forge).hooks == {}


async def test_a_registration_that_is_overtaken_by_a_disconnection_writes_nothing(
    forge: Forge,
) -> None:
    gate = None
    await forge.connect()
    repo_of(forge).hooks.clear()
    connection, keyring = await stored(), load_keyring(forge.api.settings)
    server = forge.hosts["GitHub"].server
    server.faults.extend([None, None])
    gate = asyncio.Event()

    async def slow(asked: Asked) -> Told:
        if asked.method == "POST":
            server.held.set()
            await gate.wait()
        return forge.hosts["GitHub"].serve(asked)  # type: ignore[return-value]

    server.serve = slow
    telling = asyncio.create_task(tell_host(connection, forge.api.settings, keyring))
    await server.held.wait()
    await forge.cast.owner.delete(f"{forge.project}/repository")
    await forge.run_jobs()
    gate.set()
    await asyncio.gather(telling, return_exceptions=True)
    assert (await RepositoryConnection.raw().count_documents({}), len(repo_of(forge).hooks)) == (
        0,
        1,
    )
    await OutsideLink.raw().update_many({}, {"$set": {"nextAttemptAt": now()}})
    await forge.run_jobs()
    assert repo_of(forge).hooks == {}


async def test_a_webhook_is_removed_at_once_where_none_is_being_registered(forge: Forge) -> None:
    await forge.connect()
    assert (await stored()).registering_until is None
    await forge.cast.owner.delete(f"{forge.project}/repository")
    await forge.run_jobs()
    assert repo_of(forge).hooks == {}


async def test_a_removal_that_the_host_refuses_for_no_known_reason_is_tried_again(
    forge: Forge,
) -> None:
    await forge.connect()
    await forge.cast.owner.delete(f"{forge.project}/repository")
    forge.hosts["GitHub"].server.faults.extend([None, None, Told(422)])
    await forge.run_jobs()
    link: Any = await OutsideLink.raw().find_one({})
    assert (link["lastError"], len(repo_of(forge).hooks)) == ("refused_422", 1)


async def test_a_repository_that_was_replaced_under_its_name_loses_its_webhook(
    forge: Forge,
) -> None:
    await forge.connect()
    old = await forge.rename("GitHub", "acme/notes", "acme/sketches", told=False)
    taker = forge.hosts["GitHub"].add("acme/notes", TOKEN)
    assert (await forge.connect()).status_code == 200
    await forge.run_jobs()
    assert (old.hooks, len(taker.hooks)) == ({}, 1)
