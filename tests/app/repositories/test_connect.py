"""Connecting a project to its repository: probe, webhook, replacement, conflict, disconnection."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.outside.keyring import load_keyring
from app.repositories import health, registration
from app.repositories.hosts.host import Refused
from app.repositories.hosts.registry import HOSTS
from models.base import now
from models.ledger_note import LedgerNote
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection
from tests.app.repositories.conftest import KINDS, PATHS, TOKEN, URLS, Forge
from tests.outside.server import Told

INFO = {"id", "repositoryUrl", "serviceType", "isActive", "lastSyncAt", "createdAt"}


@pytest.mark.parametrize("kind", KINDS)
async def test_connecting_registers_one_webhook_and_shows_exactly_the_seeds_shape(
    forge: Forge, kind: str
) -> None:
    answer = await forge.connect(kind)
    assert answer.status_code == 201
    shown = answer.json()
    assert set(shown) == INFO
    assert (shown["serviceType"], shown["isActive"]) == (kind, True)
    assert shown["repositoryUrl"].endswith("/" + PATHS[kind])
    assert (await forge.cast.owner.get(f"{forge.project}/repository")).json() == shown
    (hook,) = forge.hosts[kind].repos[PATHS[kind]].hooks.values()
    url = forge.hosts[kind].url(hook)
    assert url == f"https://satchel.example/v1/webhooks/{kind.lower()}/{shown['id']}"
    row: Any = await RepositoryConnection.raw().find_one({})
    assert row["webhookId"] in forge.hosts[kind].repos[PATHS[kind]].hooks
    assert (await forge.health())["healthStatus"] == "healthy"
    secret = forge.hosts[kind].secret(hook)
    assert secret not in str(row)
    assert TOKEN not in str(row)


@pytest.mark.parametrize("kind", KINDS)
async def test_connecting_again_replaces_the_token_and_keeps_one_webhook(
    forge: Forge, kind: str
) -> None:
    first = await forge.connect(kind)
    repo = forge.hosts[kind].add(PATHS[kind], "git_token_second")
    before = [forge.hosts[kind].secret(hook) for hook in repo.hooks.values()]
    second = await forge.connect(kind, accessToken="git_token_second")
    assert (second.status_code, second.json()["id"]) == (200, first.json()["id"])
    assert await LedgerNote.raw().count_documents({"what": "repository"}) == 1
    after = [forge.hosts[kind].secret(hook) for hook in repo.hooks.values()]
    assert len(after) == 1
    assert after != before


async def test_another_url_replaces_and_the_old_webhook_is_removed(forge: Forge) -> None:
    first = await forge.connect("GitHub")
    await forge.deliver("GitHub")
    second = await forge.connect("GitLab")
    assert (second.status_code, second.json()["serviceType"]) == (200, "GitLab")
    assert second.json()["id"] == first.json()["id"]
    assert await forge.events() == []
    await forge.run_jobs()
    assert forge.hosts["GitHub"].repos["acme/notes"].hooks == {}
    assert len(forge.hosts["GitLab"].repos["acme/apps/notes"].hooks) == 1
    assert await OutsideLink.raw().count_documents({}) == 0


async def test_a_repository_belongs_to_one_project(forge: Forge) -> None:
    await forge.connect()
    other = (await forge.cast.stranger.post("/v1/projects", json={"name": "Theirs"})).json()["id"]
    forge.hosts["GitHub"].add("acme/notes", "their_token")
    body = {
        "repositoryUrl": "git@github.com:ACME/notes.git",
        "serviceType": "GitHub",
        "accessToken": "their_token",
    }
    answer = await forge.cast.stranger.put(f"/v1/projects/{other}/repository", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate")
    assert answer.json()["errors"][0]["pointer"] == "/repositoryUrl"
    assert await RepositoryConnection.raw().count_documents({}) == 1
    assert len(forge.hosts["GitHub"].repos["acme/notes"].hooks) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_that_is_refused_stores_nothing(forge: Forge, kind: str) -> None:
    answer = await forge.connect(kind, accessToken="wrong")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/accessToken")
    forge.hosts[kind].repos[PATHS[kind]].readers.add("reader")
    answer = await forge.connect(kind, accessToken="reader")
    assert "webhooks_not_permitted" in answer.json()["detail"]
    forge.hosts[kind].add("acme/other", "elsewhere")
    answer = await forge.connect(kind, accessToken="elsewhere")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/repositoryUrl")
    assert await RepositoryConnection.raw().count_documents({}) == 0


@pytest.mark.parametrize(
    "fault",
    [
        Told(500),
        Told(429, headers={"Retry-After": "9"}),
        Told(403, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}),
        Told(200, raw=b"{" * 50, cut=True),
        Told(409),
        Told(423),
    ],
)
async def test_a_host_that_cannot_answer_is_503_and_stores_nothing(
    forge: Forge, fault: Told
) -> None:
    forge.hosts["GitHub"].server.faults.append(fault)
    answer = await forge.connect()
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable")
    assert await RepositoryConnection.raw().count_documents({}) == 0


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize(
    ("status", "pointers"),
    [
        (401, ["/accessToken", "/accessToken"]),
        (403, ["/accessToken", "/accessToken"]),
        (404, ["/repositoryUrl", "/accessToken"]),
        (410, ["/repositoryUrl", "/accessToken"]),
        (400, ["/repositoryUrl", "/repositoryUrl"]),
        (422, ["/repositoryUrl", "/repositoryUrl"]),
        (451, ["/repositoryUrl", "/repositoryUrl"]),
    ],
)
async def test_a_permanent_answer_is_422_naming_the_field(
    forge: Forge, at: int, status: int, pointers: list[str]
) -> None:
    forge.hosts["GitHub"].server.faults.extend([None] * at + [Told(status, {"message": "planted"})])
    answer = await forge.connect()
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointers[at])
    assert "retry-after" not in answer.headers
    assert "planted" not in answer.text
    assert await RepositoryConnection.raw().count_documents({}) == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_422_and_nobody_goes_there(forge: Forge, status: int) -> None:
    elsewhere = forge.hosts["GitLab"].server
    forge.hosts["GitHub"].server.faults.append(
        Told(status, headers={"Location": f"{elsewhere.url}/repos/acme/notes"})
    )
    answer = await forge.connect()
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/repositoryUrl")
    assert "another name" in answer.json()["detail"]
    assert elsewhere.asked == []
    assert len(forge.hosts["GitHub"].server.asked) == 1


async def test_a_webhook_that_could_not_be_registered_is_registered_by_the_health_check(
    forge: Forge,
) -> None:
    forge.hosts["GitHub"].server.faults.extend([None, None, None, None, Told(502)])
    answer = await forge.connect()
    assert answer.status_code == 201
    assert ((await forge.health())["healthStatus"], (await forge.health())["reasons"]) == (
        "degraded",
        ["server_error"],
    )
    await forge.run_jobs()
    assert (await forge.health())["healthStatus"] == "healthy"
    assert len(forge.hosts["GitHub"].repos["acme/notes"].hooks) == 1
    assert (await forge.deliver()).status_code == 202


@pytest.mark.parametrize("hook_is_there", [True, False], ids=["probe", "registration"])
async def test_a_check_that_was_stopped_past_its_claim_notes_nothing(
    forge: Forge, monkeypatch: pytest.MonkeyPatch, hook_is_there: bool
) -> None:
    """It had seen the host refuse, or told it of a webhook; meanwhile another check has looked, and
    noted how it is."""
    await forge.connect()
    repo = forge.hosts["GitHub"].repos["acme/notes"]
    if not hook_is_there:
        repo.hooks.clear()
    past, later = now() - timedelta(seconds=5), now() + timedelta(hours=3)
    await RepositoryConnection.raw().update_one({}, {"$set": {"nextHealthCheckAt": past}})
    held = await RepositoryConnection.claim_due()
    assert held is not None
    assert await RepositoryConnection.claim_due() is None
    theirs = {
        "healthStatus": "degraded",
        "healthReasons": ["theirs"],
        "nextHealthCheckAt": later,
        "webhookId": "other",
    }

    async def stopped(*_: Any) -> Any:
        await RepositoryConnection.raw().update_one({}, {"$set": theirs})
        if not hook_is_there:
            return "mine"
        raise Refused("token_refused")

    module, name = (health, "_look") if hook_is_there else (registration, "ensure_webhook")
    monkeypatch.setattr(module, name, stopped)
    await health.check(held, forge.api.settings, load_keyring(forge.api.settings))
    row: Any = await RepositoryConnection.raw().find_one({})
    assert {name: row[name] for name in theirs} == theirs


async def test_disconnecting_erases_the_token_and_removes_the_webhook_even_when_the_host_is_down(
    forge: Forge,
) -> None:
    await forge.connect()
    await forge.deliver()
    done = await forge.cast.owner.delete(f"{forge.project}/repository")
    assert done.status_code == 200
    assert done.json()["deleted"] == {"repositoryconnections": 1, "webhookevents": 1}
    assert await RepositoryConnection.raw().count_documents({}) == 0
    assert (await forge.cast.owner.get(f"{forge.project}/repository")).status_code == 404
    forge.hosts["GitHub"].server.faults.append(Told(503))
    await forge.run_jobs()
    link: Any = await OutsideLink.raw().find_one({})
    assert (link["attempts"], link["lastError"]) == (1, "server_error")
    assert len(forge.hosts["GitHub"].repos["acme/notes"].hooks) == 1
    await OutsideLink.raw().update_many({}, {"$set": {"nextAttemptAt": link["createdAt"]}})
    await forge.run_jobs()
    assert forge.hosts["GitHub"].repos["acme/notes"].hooks == {}
    assert await OutsideLink.raw().count_documents({}) == 0


async def test_only_admins_of_the_project_write_members_read_and_others_see_nothing(
    forge: Forge,
) -> None:
    await forge.connect()
    path = f"{forge.project}/repository"
    body = {"repositoryUrl": URLS["GitHub"], "serviceType": "GitHub", "accessToken": TOKEN}
    stranger = forge.cast.stranger
    reads, writes = [path, f"{path}/health", f"{path}/events"], ["PUT", "PATCH", "DELETE"]
    for each in reads:
        assert (await stranger.get(each)).status_code == 404
    await forge.join(stranger, "member")
    for each in reads:
        assert (await stranger.get(each)).status_code == 200
    for verb in writes:
        headers = {"Content-Type": "application/merge-patch+json"} if verb == "PATCH" else {}
        answer = await stranger.request(verb, path, json=body, headers=headers)
        assert (verb, answer.status_code) == (verb, 403)
    assert (await stranger.post(f"{path}/rotate-secret")).status_code == 403
    assert (await stranger.post(f"{path}/events/{ObjectId()}/redeliver")).status_code == 403
    await forge.cast.owner.put(f"{forge.project}/members/{stranger.id}", json={"role": "admin"})
    assert (await stranger.put(path, json=body)).status_code == 200


async def test_a_precondition_that_does_not_hold_changes_nothing(forge: Forge) -> None:
    made = await forge.connect()
    path = f"{forge.project}/repository"
    body = {"repositoryUrl": URLS["GitHub"], "serviceType": "GitHub", "accessToken": TOKEN}
    stale = await forge.cast.owner.put(path, json=body, headers={"If-Match": '"99"'})
    assert (stale.status_code, stale.json()["current"]["id"]) == (412, made.json()["id"])
    absent = await forge.cast.owner.put(path, json=body, headers={"If-None-Match": "*"})
    assert (absent.status_code, absent.json()["detail"]) == (412, "it exists already")
    gone = await forge.cast.owner.delete(path, headers={"If-None-Match": "*"})
    assert (gone.status_code, gone.json()["current"]) == (412, absent.json()["current"])
    seen = await forge.cast.owner.get(path)
    again = await forge.cast.owner.put(path, json=body, headers={"If-Match": seen.headers["etag"]})
    assert again.status_code == 200


async def test_two_at_once_leave_one_connection_and_one_webhook(forge: Forge) -> None:
    answers = await asyncio.gather(*(forge.connect() for _ in range(4)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert await RepositoryConnection.raw().count_documents({}) == 1
    await forge.run_jobs()
    assert len(forge.hosts["GitHub"].repos["acme/notes"].hooks) == 1
    assert (await forge.deliver()).status_code == 202


@pytest.mark.parametrize(
    "url",
    [
        "https://somebody:planted_pw@github.com/acme/notes",
        "https://ghp_planted_pw@github.com/acme/notes",
    ],
)
async def test_a_password_in_a_url_is_refused_and_neither_stored_nor_logged(
    forge: Forge, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = await forge.connect(repositoryUrl=url)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/repositoryUrl")
    assert "planted_pw" not in answer.text
    keyed = await forge.cast.owner.put(
        f"{forge.project}/repository",
        json={"repositoryUrl": url, "serviceType": "GitHub", "accessToken": TOKEN},
        headers={"Idempotency-Key": "one"},
    )
    assert keyed.status_code == 422
    out, err = capfd.readouterr()
    assert "planted_pw" not in out + err
    database = RepositoryConnection.raw().database
    for name in await database.list_collection_names():
        assert "planted_pw" not in str(await database[name].find({}).to_list())


async def test_a_users_name_in_a_url_is_dropped(forge: Forge) -> None:
    answer = await forge.connect(
        "Bitbucket", repositoryUrl="https://somebody@bitbucket.org/acme/notes.git"
    )
    assert (answer.status_code, answer.json()["repositoryUrl"]) == (
        201,
        "https://bitbucket.org/acme/notes",
    )
    assert "somebody" not in str(await RepositoryConnection.raw().find_one({}))


async def test_a_token_is_sent_by_the_scheme_of_its_host(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forge.hosts["GitHub"], "scheme", "token")
    assert (await forge.connect()).status_code == 422
    monkeypatch.setattr(HOSTS["GitHub"], "SCHEME", "token")
    assert (await forge.connect()).is_success
