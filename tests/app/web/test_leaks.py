"""Planted secrets are found nowhere: not in answers, logs, metrics, errors, tracebacks, reprs, nor
in the database."""

import contextlib
import io
import logging
import re
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from bson import ObjectId
from pydantic import SecretStr
from pymongo.asynchronous.database import AsyncDatabase

from app.connections import sync as syncing
from app.errors import Problem
from app.outside.client import TryLater
from app.outside.keyring import KeyRing, SealedError
from app.repositories import registration
from app.web.observability import configure_logging
from app.web.observability.measures import metrics
from models import DOCUMENTS
from models.connection import Connection
from models.repository_connection import RepositoryConnection
from tests.app.connections.conftest import TOKEN, World, banks, world
from tests.app.repositories.conftest import PATHS, URLS
from tests.factories.bank_jobs import run_jobs
from tests.factories.operations import WRITE_KEYS
from tests.outside.hosts.github import GitHubServer
from tests.outside.server import Told
from tests.outside.teller import MFA, REVOKED, signed

__all__ = ["banks", "world"]
GIT_TOKEN = "ghp_planted_git_token"
SECOND = "test_token_planted_second"
WEBHOOK = "planted-teller-webhook-secret"


class Needles:
    """What must not be found, in every spelling that it may have."""

    def __init__(self) -> None:
        self.secrets = {TOKEN, SECOND, GIT_TOKEN, WEBHOOK}

    def found_in(self, text: str) -> list[str]:
        return [needle for secret in self.secrets for needle in spellings(secret) if needle in text]


def spellings(secret: str) -> set[str]:
    raw = secret.encode()
    basic = f"{secret}:".encode()
    encoded = {b64encode(each).decode().rstrip("=") for each in (raw, basic)}
    return {secret, raw.hex(), quote(secret), urlsafe_b64encode(raw).decode().rstrip("="), *encoded}


class Seen:
    """Everything that came out, with where it came out."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str]] = []

    def add(self, place: str, *texts: object) -> None:
        self.texts += [(place, str(text)) for text in texts]

    def answer(self, answer: Any) -> Any:
        request = answer.request
        self.add(
            f"{request.method} {request.url.path}",
            answer.status_code,
            answer.text,
            dict(answer.headers),
        )
        return answer


@pytest.fixture
def log(world: World) -> Iterator[io.BytesIO]:
    """Every structured line, debug ones among them."""
    configure_logging(world.api.settings.model_copy(update={"log_level": "debug"}))
    out = io.BytesIO()
    structlog.configure(
        logger_factory=structlog.BytesLoggerFactory(out), cache_logger_on_first_use=False
    )
    yield out
    configure_logging(world.api.settings)


def places(user: str, connection: str, account: str, project: str, event: str) -> dict[str, str]:
    return {
        "userId": user, "connectionId": connection, "bankAccountId": account, "projectId": project,
        "eventId": event,
        "appId": "notes", "dataKey": "k", "keyId": "f" * 24, "jobId": connection,
        "service": "github", "sessionId": "x",
    }  # fmt: skip


EVENTS = {"POST /v1/analytics/events", *WRITE_KEYS}


async def walk_all_routes(world: World, seen: Seen, named: dict[str, str]) -> int:
    """Every route of the application, read and written badly, by owner, stranger and admin."""
    paths = world.api.app.openapi()["paths"]
    count = 0
    for template, item in paths.items():
        path = re.sub(r"{(\w+)}", lambda found: named.get(found[1], "x"), template)
        for method in item:
            if method == "delete" and "users" in path:
                continue
            if method != "get" and (
                "dataKey" in template or f"{method.upper()} {template}" in EVENTS
            ):
                continue  # takes any JSON and gives it back, or sets it aside as it was sent
            for caller in (
                world.cast.owner,
                world.cast.stranger,
                world.cast.admin,
                world.cast.nobody,
            ):
                for body in (
                    {},
                    {"accessToken": [TOKEN]},
                    {"accessToken": TOKEN, "what": GIT_TOKEN},
                    [TOKEN],
                ):
                    options: dict[str, Any] = {} if method == "get" else {"json": body}
                    if method == "patch":
                        options["headers"] = {"Content-Type": "application/merge-patch+json"}
                    if method == "delete" and caller is not world.cast.stranger:
                        continue
                    answer = await caller.request(method.upper(), path, **options)
                    assert answer.status_code < 500 or answer.status_code == 503
                    echoed = str(answer.text).replace("what", "")
                    seen.add(f"{method} {path}", echoed, dict(answer.headers))
                    count += 1
                    if method == "get":
                        break
    return count


async def test_planted_secrets_are_found_nowhere(
    world: World,
    database: AsyncDatabase[Any],
    log: io.BytesIO,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)  # what httpx, the driver and others say of themselves
    needles, seen = Needles(), Seen()
    github = GitHubServer()
    repo = github.add(PATHS["GitHub"], GIT_TOKEN)
    await github.server.start()
    state, owner = world.api.app.state, world.cast.owner
    fields = {"github_api_url": github.server.url, "teller_webhook_secrets": [SecretStr(WEBHOOK)]}
    state.settings = world.api.settings.model_copy(update=fields)
    ring: KeyRing = state.keyring
    needles.secrets |= {b64encode(key).decode() for key in ring._look().by_id.values()}

    # Everything as it should be.
    connection = await world.connect()
    seen.answer(await world.sync(connection))
    body = {"provider": "teller", "institution": "B", "label": "l", "accessToken": TOKEN}
    keyed = {"Idempotency-Key": "leak"}
    seen.answer(await owner.post("/v1/users/me/connections", json=body, headers=keyed))
    seen.answer(
        await owner.post(
            "/v1/users/me/connections", json=body | {"accessToken": SECOND}, headers=keyed
        )
    )
    project = (await owner.post("/v1/projects", json={"name": "P"})).json()["id"]
    git = {"repositoryUrl": URLS["GitHub"], "serviceType": "GitHub", "accessToken": GIT_TOKEN}
    seen.answer(await owner.put(f"/v1/projects/{project}/repository", json=git))
    needles.secrets |= {github.secret(hook) for hook in repo.hooks.values()}
    path, payload, headers = github.delivery(repo, github.payload(repo))
    event = seen.answer(
        await world.cast.nobody.post(path, content=payload, headers=headers)
    ).json()["id"]
    seen.answer(await owner.post(f"/v1/projects/{project}/repository/rotate-secret"))
    needles.secrets |= {github.secret(hook) for hook in repo.hooks.values()}
    assert len(needles.secrets) == 7

    # Refusals and faults of every kind.
    seen.answer(await owner.post("/v1/users/me/connections", json=body | {"accessToken": SECOND}))
    seen.answer(
        await owner.post("/v1/users/me/connections", json=body | {"accessToken": TOKEN * 300})
    )
    with_password = URLS["GitHub"].replace("https://", f"https://{GIT_TOKEN}@")
    seen.answer(
        await owner.put(
            f"/v1/projects/{project}/repository", json=git | {"repositoryUrl": with_password}
        )
    )
    for fault in (
        MFA,
        Told(500),
        Told(200, raw=TOKEN.encode()),
        Told(302, headers={"Location": f"/{TOKEN}"}),
    ):
        world.banks.server.faults.append(fault)
        seen.answer(await world.sync(connection))
    github.server.faults.append(Told(500))
    seen.answer(await owner.put(f"/v1/projects/{project}/repository", json=git))
    for forged in (WEBHOOK, TOKEN):
        raw, signed_headers = signed({"type": "x", "payload": {}}, forged)
        seen.answer(
            await world.cast.nobody.post("/v1/webhooks/teller", content=raw, headers=signed_headers)
        )

    # What nobody foresaw, deep inside, with the token at hand.
    async def broken(*arguments: Any, **more: Any) -> Any:
        token, local = TOKEN, arguments
        raise RuntimeError(f"unforeseen with {len(token)} and {len(local)}")

    with monkeypatch.context() as patch:
        patch.setattr(syncing.Pass, "run", broken)
        patch.setattr(registration, "ensure_webhook", broken)
        for verb, target, sent in (
            ("POST", f"/v1/connections/{connection}/sync", None),
            ("PUT", f"/v1/projects/{project}/repository", git),
        ):
            with contextlib.suppress(RuntimeError):
                seen.answer(await owner.request(verb, target, json=sent))
        await run_jobs(world)

    # Every route there is, exports among them.
    account = await database["bankaccounts"].find_one({})
    assert account is not None
    named = places(owner.id, connection, str(account["_id"]), project, event)
    walked = await walk_all_routes(world, seen, named)
    assert walked > 200
    assert await needles_in_reprs(ring, needles) == []

    # Revoked, disconnected, deleted, with outside links that cannot be removed.
    world.banks.server.faults.append(REVOKED)
    seen.answer(await world.sync(connection))
    world.banks.server.faults.clear()
    github.server.faults.extend([Told(500)] * 5)
    seen.answer(await owner.get("/v1/users/me/deletion-plan"))
    seen.answer(await owner.delete(f"/v1/projects/{project}"))
    seen.answer(await owner.delete("/v1/users/me"))
    await dump(database, seen)
    await run_jobs(world)
    await dump(database, seen)
    await github.server.stop()

    seen.add("metrics", metrics()[0].decode())
    seen.add("log", log.getvalue().decode())
    assert "unforeseen with" in log.getvalue().decode()
    assert len(log.getvalue().splitlines()) >= 3
    seen.add("log of libraries", caplog.text)
    assert "pymongo.command" in {record.name for record in caplog.records}
    found = {(place, needle) for place, text in seen.texts for needle in needles.found_in(text)}
    assert found == set()
    assert needles.found_in(f"said {TOKEN}") != []


async def dump(database: AsyncDatabase[Any], seen: Seen) -> None:
    """Every document of every collection, bytes as they are and as hex."""
    for name in await database.list_collection_names():
        if name.startswith("system."):
            continue
        for row in await database[name].find({}).to_list():
            seen.add(f"database {name}", row, hexed(row))


def hexed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: hexed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [hexed(each) for each in value]
    return value.hex() if isinstance(value, bytes) else value


async def needles_in_reprs(ring: KeyRing, needles: Needles) -> list[str]:
    """Every document with secrets, opened ones, and the errors about them: `repr`, `str`,
    traceback."""
    texts = [repr(ring), repr(ring._look()), str(ring)]
    for document in DOCUMENTS:
        for row in await document.raw().find({}).limit(20).to_list():
            found = document.from_stored(row)
            texts += [repr(found), str(found)]
    connection = await Connection.raw().find_one({"accessToken": {"$exists": True}})
    repository = await RepositoryConnection.raw().find_one({})
    assert connection is not None and repository is not None
    for kind, row in ((Connection, connection), (RepositoryConnection, repository)):
        document: Any = kind
        stored = document.from_stored(row)
        opened = ring.open(stored.access_token, document.place_in(row, "access_token"))
        texts += [repr(opened), str(opened)]
        try:
            ring.open(
                stored.access_token, document.place_in({**row, "_id": ObjectId()}, "access_token")
            )
        except SealedError as error:
            texts += [repr(error), "".join(traceback.format_exception(error))]
    for error in (TryLater("unreachable"), Problem("x")):
        texts += [repr(error), str(error)]
    return [f"{needle} in {text[:60]}" for text in texts for needle in needles.found_in(text)]
