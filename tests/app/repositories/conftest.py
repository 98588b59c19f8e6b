"""An application whose Git hosts are local servers, a project of the owner's, and repositories."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from app.jobs import run_one
from app.repositories.hosts.registry import HOSTS, api_setting
from app.work import ensure_jobs, handlers
from models.base import now
from models.job import Job
from models.repository_connection import RepositoryConnection
from tests.cast import Cast, enrol
from tests.conftest import MakeApi
from tests.harness import Api, Caller
from tests.outside.git_hosts import GitHostServer, Repo
from tests.outside.hosts import SERVERS

TOKEN = "git_token_planted"
KINDS = tuple(SERVERS)
URLS = {kind: server.cloned for kind, server in SERVERS.items()}
DOMAINS = {kind: host.DOMAIN for kind, host in HOSTS.items()}
PATHS = {kind: server.path for kind, server in SERVERS.items()}


@dataclass(frozen=True)
class Forge:
    """The application, its callers, the hosts outside, and the path of the owner's project."""

    api: Api
    cast: Cast
    hosts: dict[str, GitHostServer]
    project: str

    async def connect(self, kind: str = "GitHub", **fields: Any) -> Any:
        """The owner connects the project; the answer."""
        body = {"repositoryUrl": URLS[kind], "serviceType": kind, "accessToken": TOKEN, **fields}
        return await self.cast.owner.put(f"{self.project}/repository", json=body)

    async def join(self, person: Caller, role: str) -> None:
        """The owner invites a person into the project, who accepts."""
        invited = await self.cast.owner.put(
            f"{self.project}/members/{person.id}", json={"role": role}
        )
        assert invited.status_code == 202, invited.text
        project_id = self.project.rpartition("/")[2]
        accepted = await person.post(f"/v1/users/me/invitations/{project_id}/accept")
        assert accepted.status_code == 200, accepted.text

    async def deliver(self, kind: str = "GitHub", payload: Any = None, **headers: str) -> Any:
        """The host delivers an event; the answer."""
        host = self.hosts[kind]
        repo = host.repos[PATHS[kind]]
        path, body, made = host.delivery(repo, payload or host.payload(repo), **headers)
        return await self.cast.nobody.post(path, content=body, headers=made)

    async def tell(self, kind: str, repo: Repo, payload: Any = None, **headers: str) -> Any:
        """The host delivers an event of a repository, whatever it is called; the answer."""
        path, body, made = self.hosts[kind].delivery(
            repo, payload or self.hosts[kind].payload(repo), **headers
        )
        return await self.cast.nobody.post(path, content=body, headers=made)

    async def rename(
        self, kind: str, before: str, path: str, *, told: bool = True, redirects: bool = True
    ) -> Repo:
        """A repository gets another name at its host, which tells of it or not."""
        repo = self.hosts[kind].rename(before, path, redirects=redirects)
        if told:
            payload, headers = self.hosts[kind].renaming(repo, before)
            assert (await self.tell(kind, repo, payload, **headers)).status_code == 202
        return repo

    async def url(self) -> str:
        return str(
            (await self.cast.owner.get(f"{self.project}/repository")).json()["repositoryUrl"]
        )

    async def look(self) -> None:
        """Every connection's health is looked at now."""
        await RepositoryConnection.raw().update_many(
            {"isActive": True}, {"$set": {"nextHealthCheckAt": now()}}
        )
        await self.run_jobs()

    async def other(self, path: str, kind: str = "GitHub", token: str = TOKEN) -> tuple[str, Any]:
        """A second project of the owner's, and the answer to connecting it to a repository."""
        made = await self.cast.owner.post("/v1/projects", json={"name": "Other"})
        project = f"/v1/projects/{made.json()['id']}"
        body = {
            "repositoryUrl": f"https://{DOMAINS[kind]}/{path}",
            "serviceType": kind,
            "accessToken": token,
        }
        return project, await self.cast.owner.put(f"{project}/repository", json=body)

    async def health(self) -> Any:
        return (await self.cast.owner.get(f"{self.project}/repository/health")).json()

    async def events(self, **params: Any) -> Any:
        return (
            await self.cast.owner.get(f"{self.project}/repository/events", params=params)
        ).json()["items"]

    async def run_jobs(self) -> None:
        """Everything that the worker has to do, now."""
        await ensure_jobs()
        await Job.raw().update_many({}, {"$set": {"runAt": now()}})
        while await run_one(handlers(self.api.settings)):
            pass


@pytest.fixture
async def hosts() -> AsyncIterator[dict[str, GitHostServer]]:
    made = {kind: server() for kind, server in SERVERS.items()}
    async with AsyncExitStack() as stack:
        for kind, host in made.items():
            host.add(PATHS[kind], TOKEN)
            await host.server.start()
            stack.push_async_callback(host.server.stop)
        yield made


@pytest.fixture
async def forge(make_api: MakeApi, hosts: dict[str, GitHostServer]) -> Forge:
    api = await make_api(
        **{api_setting(kind): host.server.url for kind, host in hosts.items()},
        outgoing_timeout_seconds=2.0,
        public_url="https://satchel.example",
    )
    cast = await enrol(api)
    project = await cast.owner.post("/v1/projects", json={"name": "Notes"})
    assert project.status_code == 201, project.text
    return Forge(api, cast, hosts, f"/v1/projects/{project.json()['id']}")
