"""Renames of repositories that others race."""

import asyncio
import random
from typing import Any

import pytest

from app.repositories.deliveries.inbox import process
from models.repository_connection import RepositoryConnection
from models.webhook_event import WebhookEvent
from tests.app.repositories.conftest import DOMAINS, KINDS, PATHS, TOKEN, Forge
from tests.outside.git_hosts import Repo


def address(kind: str, path: str) -> str:
    return f"https://{DOMAINS[kind]}/{path}"


async def test_what_is_disconnected_while_its_rename_is_looked_at_stays_gone(forge: Forge) -> None:
    await forge.connect()
    repo = await forge.rename("GitHub", "acme/notes", "acme/sketches", told=False)
    gate = forge.hosts["GitHub"].server.next_request_is_held()
    looking = asyncio.create_task(forge.look())
    await forge.hosts["GitHub"].server.held.wait()
    await forge.cast.owner.delete(f"{forge.project}/repository")
    gate.set()
    await looking
    await forge.run_jobs()
    assert await RepositoryConnection.raw().count_documents({}) == 0
    assert repo.hooks == {}


async def test_what_is_told_while_it_is_looked_at_is_looked_at_again(forge: Forge) -> None:
    await forge.connect()
    gate = forge.hosts["GitHub"].server.next_request_is_held()
    looking = asyncio.create_task(forge.look())
    await forge.hosts["GitHub"].server.held.wait()
    await asyncio.sleep(0.005)  # a stored moment has milliseconds
    await forge.deliver("GitHub", {"action": "edited"}, **{"X-GitHub-Event": "repository"})
    events = await WebhookEvent.find_waiting(1)
    assert await process(events[0], forge.api.settings)
    count = len(forge.hosts["GitHub"].server.asked)
    gate.set()
    await looking
    assert [each.path for each in forge.hosts["GitHub"].server.asked[count:]].count(
        "/repos/acme/notes"
    ) == 1


async def test_a_deactivated_connection_is_activated_under_the_new_name(forge: Forge) -> None:
    await forge.connect()
    await forge.cast.owner.merge(f"{forge.project}/repository", {"isActive": False})
    repo = await forge.rename("GitHub", "acme/notes", "acme/sketches", told=False)
    on = await forge.cast.owner.merge(f"{forge.project}/repository", {"isActive": True})
    assert (on.status_code, on.json()["repositoryUrl"]) == (200, "https://github.com/acme/sketches")
    await forge.run_jobs()
    assert len(repo.hooks) == 1
    assert (await forge.tell("GitHub", repo)).status_code == 202


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_renames_are_told_late_twice_or_never_each_connection_ends_at_its_repository(
    forge: Forge, kind: str, seed: int
) -> None:
    """Three repositories take each other's names in turn, with and without redirects; the host has
    the last word."""
    choose, server = random.Random(seed), forge.hosts[kind]
    names = [PATHS[kind], "acme/b", "acme/c", "acme/d", "acme/e"]
    repos = [server.repos[names[0]], server.add("acme/b", TOKEN), server.add("acme/c", TOKEN)]
    await forge.connect(kind)
    projects = [forge.project, *[(await forge.other(name, kind))[0] for name in names[1:3]]]
    untold: list[tuple[Repo, Any, dict[str, str]]] = []
    for _ in range(14):
        repo = choose.choice(repos)
        match choose.choice(["rename", "rename", "tell", "tell", "push", "look"]):
            case "rename":
                before = repo.path
                free = sorted(set(names) - server.repos.keys())
                server.rename(before, choose.choice(free), redirects=choose.random() < 0.5)
                untold.append((repo, *server.renaming(repo, before)))
            case "tell" if untold:
                told, payload, headers = choose.choice(untold)
                await forge.tell(kind, told, payload, **headers)
            case "push":
                await forge.tell(kind, repo)
            case "look":
                await forge.look()
    await forge.look()
    for project, repo in zip(projects, repos, strict=True):
        shown = (await forge.cast.owner.get(f"{project}/repository")).json()
        assert (shown["repositoryUrl"], shown["isActive"]) == (address(kind, repo.path), True)
        health = (await forge.cast.owner.get(f"{project}/repository/health")).json()
        assert (health["healthStatus"], health["reasons"], len(repo.hooks)) == ("healthy", [], 1)
