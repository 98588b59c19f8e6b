"""A repository that has another name at its host: its connection goes with it, and with no other
one."""

from typing import Any

import pytest

from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection
from models.webhook_event import WebhookEvent
from tests.app.repositories.conftest import DOMAINS, KINDS, PATHS, TOKEN, Forge
from tests.outside.hosts import SERVERS
from tests.outside.server import Told

NEW = {kind: server.renamed for kind, server in SERVERS.items()}
MOVED = {kind: server.transferred for kind, server in SERVERS.items()}


def address(kind: str, path: str) -> str:
    return f"https://{DOMAINS[kind]}/{path}"


async def statuses(forge: Forge) -> list[tuple[str, str | None]]:
    return [(event["status"], event["error"]) for event in await forge.events()]


@pytest.mark.parametrize("target", [NEW, MOVED])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_signed_rename_moves_the_url_and_pushes_go_on(
    forge: Forge, kind: str, target: dict[str, str]
) -> None:
    shown = (await forge.connect(kind)).json()
    repo = await forge.rename(kind, PATHS[kind], target[kind])
    for number in range(3):
        await forge.tell(kind, repo, forge.hosts[kind].payload(repo, number=number))
    await forge.run_jobs()
    assert await forge.url() == address(kind, target[kind])
    assert await statuses(forge) == [("processed", None)] * 4
    assert ((await forge.health())["healthStatus"], len(repo.hooks)) == ("healthy", 1)
    now_shown = (await forge.cast.owner.get(f"{forge.project}/repository")).json()
    assert now_shown["id"] == shown["id"]


async def test_a_host_that_tells_no_id_is_followed_by_its_signed_word_alone(forge: Forge) -> None:
    server = forge.hosts["GitHub"]
    server.show = lambda repo: {"full_name": repo.path}  # type: ignore[method-assign]
    await forge.connect()
    repo = await forge.rename("GitHub", "acme/notes", "acme/sketches", told=False)
    await forge.look()
    health = await forge.health()
    assert (health["healthStatus"], health["reasons"]) == ("failed", ["repository_moved"])
    assert await forge.url() == "https://github.com/acme/notes"
    payload, headers = server.renaming(repo, "acme/notes")
    del payload["repository"]["id"]
    await forge.tell("GitHub", repo, payload, **headers)
    await forge.run_jobs()
    assert await forge.url() == "https://github.com/acme/sketches"
    assert (await forge.health())["healthStatus"] == "healthy"


@pytest.mark.parametrize("redirects", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_rename_that_nobody_told_is_found_by_the_repositorys_id(
    forge: Forge, kind: str, redirects: bool
) -> None:
    await forge.connect(kind)
    repo = await forge.rename(kind, PATHS[kind], NEW[kind], told=False, redirects=redirects)
    await forge.look()
    assert await forge.url() == address(kind, NEW[kind])
    assert ((await forge.health())["healthStatus"], len(repo.hooks)) == ("healthy", 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_push_under_a_name_that_was_not_known_is_ours_by_its_id(
    forge: Forge, kind: str
) -> None:
    await forge.connect(kind)
    repo = await forge.rename(kind, PATHS[kind], NEW[kind], told=False)
    await forge.tell(kind, repo)
    await forge.run_jobs()
    assert await statuses(forge) == [("processed", None)]
    assert await forge.url() == address(kind, NEW[kind])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_push_of_before_that_comes_late_moves_nothing_back(forge: Forge, kind: str) -> None:
    await forge.connect(kind)
    repo = forge.hosts[kind].repos[PATHS[kind]]
    late = forge.hosts[kind].payload(repo, number=1)
    payload, headers = forge.hosts[kind].renaming(repo, "acme/before")
    await forge.rename(kind, PATHS[kind], NEW[kind])
    await forge.run_jobs()
    await forge.tell(kind, repo, late)
    await forge.tell(kind, repo, payload, **headers)
    await forge.run_jobs()
    assert await statuses(forge) == [("processed", None)] * 3
    assert await forge.url() == address(kind, NEW[kind])


@pytest.mark.parametrize("kind", KINDS)
async def test_two_renames_told_in_the_wrong_order_end_at_the_last_name(
    forge: Forge, kind: str
) -> None:
    await forge.connect(kind)
    server = forge.hosts[kind]
    repo = await forge.rename(kind, PATHS[kind], MOVED[kind], told=False)
    first = server.renaming(repo, PATHS[kind])
    await forge.rename(kind, MOVED[kind], NEW[kind])
    await forge.tell(kind, repo, first[0], **first[1])
    await forge.run_jobs()
    assert await forge.url() == address(kind, NEW[kind])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_name_that_another_repository_took_is_not_followed(forge: Forge, kind: str) -> None:
    await forge.connect(kind)
    repo = await forge.rename(kind, PATHS[kind], NEW[kind], told=False)
    taker = forge.hosts[kind].add(PATHS[kind], TOKEN)
    repo.hooks.clear()
    await forge.look()
    assert await forge.url() == address(kind, NEW[kind])
    assert (len(repo.hooks), taker.hooks) == (1, {})
    taker.hooks |= repo.hooks
    await forge.tell(kind, taker)
    await forge.run_jobs()
    assert await statuses(forge) == [("failed", "another_repository")]


async def test_a_repository_that_is_gone_and_whose_name_is_taken_is_told_and_left_alone(
    forge: Forge,
) -> None:
    await forge.connect()
    del forge.hosts["GitHub"].repos["acme/notes"]
    taker = forge.hosts["GitHub"].add("acme/notes", TOKEN)
    await forge.look()
    assert (await forge.health())["reasons"] == ["another_repository"]
    assert taker.hooks == {}
    assert (await forge.connect()).status_code == 200
    assert ((await forge.health())["healthStatus"], len(taker.hooks)) == ("healthy", 1)


async def test_the_id_that_answers_must_be_the_one_that_was_asked_for(forge: Forge) -> None:
    await forge.connect()
    server = forge.hosts["GitHub"]
    await forge.rename("GitHub", "acme/notes", "acme/sketches", told=False)
    server.server.faults.extend([None, Told(200, {"id": 7, "full_name": "evil/notes"})])
    await forge.look()
    assert (await forge.health())["reasons"] == ["repository_moved"]
    assert await forge.url() == "https://github.com/acme/notes"


@pytest.mark.parametrize(
    "told", ["../evil", "acme/notes/tree", "a b/c", "", 7, "acme/n%2fotes", "@evil.example/x"]
)
async def test_a_name_that_is_none_moves_nothing(forge: Forge, told: Any) -> None:
    await forge.connect()
    repo = forge.hosts["GitHub"].repos["acme/notes"]
    payload, headers = forge.hosts["GitHub"].renaming(repo, "acme/notes")
    payload["repository"]["full_name"] = told
    await forge.tell("GitHub", repo, payload, **headers)
    await forge.run_jobs()
    assert await forge.url() == "https://github.com/acme/notes"


async def test_repositories_that_swap_their_names_keep_their_projects(forge: Forge) -> None:
    await forge.connect()
    other = forge.hosts["GitHub"].add("acme/other", TOKEN)
    project, made = await forge.other("acme/other")
    assert made.status_code == 201
    notes = await forge.rename("GitHub", "acme/notes", "acme/passing", told=False)
    await forge.rename("GitHub", "acme/other", "acme/notes", told=False)
    await forge.rename("GitHub", "acme/passing", "acme/other", told=False)
    await forge.look()
    assert await forge.url() == "https://github.com/acme/other"
    theirs = (await forge.cast.owner.get(f"{project}/repository")).json()
    assert theirs["repositoryUrl"] == "https://github.com/acme/notes"
    assert [len(repo.hooks) for repo in (notes, other)] == [1, 1]
    rows = await RepositoryConnection.raw().find({}).to_list()
    assert [row["healthStatus"] for row in rows] == ["healthy", "healthy"]


async def test_a_ring_of_three_renames_is_untied_with_each_in_its_place(forge: Forge) -> None:
    server = forge.hosts["GitHub"]
    await forge.connect()
    projects = [forge.project]
    for name in ("acme/b", "acme/c"):
        server.add(name, TOKEN)
        projects.append((await forge.other(name))[0])
    for before, path in [("notes", "x"), ("c", "notes"), ("b", "c"), ("x", "b")]:
        server.rename(f"acme/{before}", f"acme/{path}", redirects=False)
    await forge.look()
    shown = [
        (await forge.cast.owner.get(f"{project}/repository")).json()["repositoryUrl"]
        for project in projects
    ]
    assert [url.rpartition("/")[2] for url in shown] == ["b", "c", "notes"]


@pytest.mark.parametrize("is_looked_at", [True, False])
async def test_a_name_that_is_anothers_now_can_be_connected_and_its_former_owner_goes_on(
    forge: Forge, is_looked_at: bool
) -> None:
    await forge.connect()
    repo = await forge.rename("GitHub", "acme/notes", "acme/sketches", told=False)
    forge.hosts["GitHub"].add("acme/notes", TOKEN)
    if is_looked_at:
        await forge.look()
    project, made = await forge.other("acme/notes")
    assert (made.status_code, made.json()["repositoryUrl"]) == (
        201,
        "https://github.com/acme/notes",
    )
    await forge.run_jobs()
    assert await forge.url() == "https://github.com/acme/sketches"
    await forge.tell("GitHub", repo)
    await forge.run_jobs()
    assert await statuses(forge) == [("processed", None)]
    assert (await forge.cast.owner.get(f"{project}/repository/events")).json()["items"] == []


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_one_repository_under_two_names_is_still_one_projects(
    forge: Forge, kind: str, told: bool
) -> None:
    await forge.connect(kind)
    repo = await forge.rename(kind, PATHS[kind], NEW[kind], told=told)
    if told:
        await forge.run_jobs()
    _, old = await forge.other(PATHS[kind], kind)
    assert (old.status_code, old.json()["errors"][0]["pointer"]) == (422, "/repositoryUrl")
    assert "retry-after" not in old.headers
    _, new = await forge.other(NEW[kind], kind)
    assert (new.status_code, new.json()["code"]) == (409, "duplicate")
    assert new.json()["errors"][0]["pointer"] == "/repositoryUrl"
    assert len(repo.hooks) == 1


async def test_connecting_again_under_the_new_name_is_the_same_connection(forge: Forge) -> None:
    await forge.connect()
    await forge.deliver()
    repo = await forge.rename("GitHub", "acme/notes", "acme/sketches", told=False)
    again = await forge.connect(repositoryUrl="https://github.com/acme/sketches")
    assert (again.status_code, again.json()["repositoryUrl"]) == (
        200,
        "https://github.com/acme/sketches",
    )
    await forge.run_jobs()
    assert (len(await forge.events()), len(repo.hooks)) == (1, 1)
    assert await OutsideLink.raw().count_documents({}) == 0


async def test_connecting_again_under_the_stored_name_follows_a_rename(forge: Forge) -> None:
    await forge.connect()
    repo = await forge.rename("GitHub", "acme/notes", "acme/sketches", told=False)
    again = await forge.connect()
    assert (again.status_code, again.json()["repositoryUrl"]) == (
        200,
        "https://github.com/acme/sketches",
    )
    assert len(repo.hooks) == 1


async def test_of_two_connections_that_turn_out_to_be_of_one_repository_the_later_gives_way(
    forge: Forge,
) -> None:
    await forge.connect()
    unset = {"$unset": {"remoteId": ""}}  # as stored before ids were
    await RepositoryConnection.raw().update_many({}, unset)
    repo = await forge.rename("GitHub", "acme/notes", "acme/sketches", told=False)
    project, made = await forge.other("acme/sketches")
    assert made.status_code == 201
    forge.hosts["GitHub"].repos["acme/notes"] = repo  # the host answers by the old name, too
    await forge.look()
    health = await forge.health()
    assert (health["isActive"], health["reasons"]) == (False, ["connected_elsewhere"])
    await forge.look()
    assert len(repo.hooks) == 1
    theirs = (await forge.cast.owner.get(f"{project}/repository/health")).json()
    assert (theirs["isActive"], theirs["healthStatus"]) == (True, "healthy")


async def test_a_rename_of_what_was_disconnected_brings_nothing_back(forge: Forge) -> None:
    await forge.connect()
    repo = await forge.rename("GitHub", "acme/notes", "acme/sketches")
    assert (await forge.cast.owner.delete(f"{forge.project}/repository")).status_code == 200
    await forge.run_jobs()
    assert await RepositoryConnection.raw().count_documents({}) == 0
    assert await WebhookEvent.raw().count_documents({}) == 0
    assert repo.hooks == {}
    assert await OutsideLink.raw().count_documents({}) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_the_webhook_of_what_was_disconnected_is_removed_under_the_new_name(
    forge: Forge, kind: str
) -> None:
    await forge.connect(kind)
    await forge.cast.owner.delete(f"{forge.project}/repository")
    repo = await forge.rename(kind, PATHS[kind], NEW[kind], told=False)
    taker = forge.hosts[kind].add(PATHS[kind], TOKEN)
    (hook,) = repo.hooks.values()
    taker.hooks["1"] = forge.hosts[kind].with_url(hook, "https://elsewhere.example")
    await forge.run_jobs()
    assert (repo.hooks, len(taker.hooks)) == ({}, 1)
    assert await OutsideLink.raw().count_documents({}) == 0
