"""The APIs of GitHub, GitLab and Bitbucket, as far as a repository's token and webhook go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol
from urllib.parse import quote

from app.outgoing import Answer, Outgoing, TryLater, outgoing
from app.repositories.urls import Repository
from app.settings import Settings

_PER_PAGE: Final = "100"


class Refused(Exception):
    """The host refuses, and will refuse again until somebody changes something.

    Attributes:
        reason: `token_refused`, `repository_not_found` or `webhooks_not_permitted`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class GitHost(Protocol):
    """One repository at its host. Every call raises Refused or TryLater where it cannot be done."""

    async def probe(self) -> None:
        """See that the token reaches the repository and may manage its webhooks."""
        ...

    async def webhooks(self) -> dict[str, str]:
        """Its webhooks: id -> URL."""
        ...

    async def create_webhook(self, url: str, secret: str) -> str:
        """Register a webhook; its id."""
        ...

    async def change_webhook(self, webhook_id: str, url: str, secret: str) -> None:
        """Give a webhook another secret."""
        ...

    async def delete_webhook(self, webhook_id: str) -> None:
        """Remove a webhook. No error where it is gone."""
        ...


class GitHub:
    """https://docs.github.com/rest/repos/webhooks."""

    EVENTS: Final = ("push", "pull_request", "release", "repository")

    def __init__(self, http: Outgoing, path: str) -> None:
        self._http = http
        self._path = f"/repos/{path}"

    async def probe(self) -> None:
        """`GET /repos/{owner}/{repo}`, and its hooks."""
        _checked(await self._http.send("GET", self._path), "repository_not_found")
        await self.webhooks()

    async def webhooks(self) -> dict[str, str]:
        """`GET /repos/{owner}/{repo}/hooks`."""
        answer = await self._http.send("GET", f"{self._path}/hooks", query={"per_page": _PER_PAGE})
        found = _rows(_checked(answer, "webhooks_not_permitted").json())
        return {str(row.get("id")): str((row.get("config") or {}).get("url")) for row in found}

    async def create_webhook(self, url: str, secret: str) -> str:
        """`POST /repos/{owner}/{repo}/hooks`."""
        answer = await self._http.send("POST", f"{self._path}/hooks", json={"name": "web", **_github(url, secret)})
        return _id_of(_checked(answer, "webhooks_not_permitted"), "id")

    async def change_webhook(self, webhook_id: str, url: str, secret: str) -> None:
        """`PATCH /repos/{owner}/{repo}/hooks/{hook_id}`."""
        path = f"{self._path}/hooks/{_part(webhook_id)}"
        _checked(await self._http.send("PATCH", path, json=_github(url, secret)), "webhooks_not_permitted")

    async def delete_webhook(self, webhook_id: str) -> None:
        """`DELETE /repos/{owner}/{repo}/hooks/{hook_id}`."""
        _deleted(await self._http.send("DELETE", f"{self._path}/hooks/{_part(webhook_id)}"))


class GitLab:
    """https://docs.gitlab.com/api/project_webhooks."""

    def __init__(self, http: Outgoing, path: str) -> None:
        self._http = http
        self._path = f"/projects/{_part(path)}"

    async def probe(self) -> None:
        """`GET /projects/{id}`, and its hooks."""
        _checked(await self._http.send("GET", self._path), "repository_not_found")
        await self.webhooks()

    async def webhooks(self) -> dict[str, str]:
        """`GET /projects/{id}/hooks`."""
        answer = await self._http.send("GET", f"{self._path}/hooks", query={"per_page": _PER_PAGE})
        found = _rows(_checked(answer, "webhooks_not_permitted").json())
        return {str(row.get("id")): str(row.get("url")) for row in found}

    async def create_webhook(self, url: str, secret: str) -> str:
        """`POST /projects/{id}/hooks`."""
        answer = await self._http.send("POST", f"{self._path}/hooks", json=_gitlab(url, secret))
        return _id_of(_checked(answer, "webhooks_not_permitted"), "id")

    async def change_webhook(self, webhook_id: str, url: str, secret: str) -> None:
        """`PUT /projects/{id}/hooks/{hook_id}`."""
        path = f"{self._path}/hooks/{_part(webhook_id)}"
        _checked(await self._http.send("PUT", path, json=_gitlab(url, secret)), "webhooks_not_permitted")

    async def delete_webhook(self, webhook_id: str) -> None:
        """`DELETE /projects/{id}/hooks/{hook_id}`."""
        _deleted(await self._http.send("DELETE", f"{self._path}/hooks/{_part(webhook_id)}"))


class Bitbucket:
    """https://developer.atlassian.com/cloud/bitbucket/rest/api-group-repositories."""

    EVENTS: Final = ("repo:push", "repo:updated", "repo:transfer", "pullrequest:created", "pullrequest:fulfilled")

    def __init__(self, http: Outgoing, path: str) -> None:
        self._http = http
        self._path = f"/repositories/{path}"

    async def probe(self) -> None:
        """`GET /repositories/{workspace}/{repo_slug}`, and its hooks."""
        _checked(await self._http.send("GET", self._path), "repository_not_found")
        await self.webhooks()

    async def webhooks(self) -> dict[str, str]:
        """`GET /repositories/{workspace}/{repo_slug}/hooks`."""
        answer = await self._http.send("GET", f"{self._path}/hooks", query={"pagelen": _PER_PAGE})
        told = _checked(answer, "webhooks_not_permitted").json()
        found = _rows(told.get("values") if isinstance(told, dict) else None)
        return {str(row.get("uuid")): str(row.get("url")) for row in found}

    async def create_webhook(self, url: str, secret: str) -> str:
        """`POST /repositories/{workspace}/{repo_slug}/hooks`."""
        answer = await self._http.send("POST", f"{self._path}/hooks", json=_bitbucket(url, secret))
        return _id_of(_checked(answer, "webhooks_not_permitted"), "uuid")

    async def change_webhook(self, webhook_id: str, url: str, secret: str) -> None:
        """`PUT /repositories/{workspace}/{repo_slug}/hooks/{uid}`."""
        path = f"{self._path}/hooks/{_part(webhook_id)}"
        _checked(await self._http.send("PUT", path, json=_bitbucket(url, secret)), "webhooks_not_permitted")

    async def delete_webhook(self, webhook_id: str) -> None:
        """`DELETE /repositories/{workspace}/{repo_slug}/hooks/{uid}`."""
        _deleted(await self._http.send("DELETE", f"{self._path}/hooks/{_part(webhook_id)}"))


@asynccontextmanager
async def git_host(settings: Settings, repository: Repository, token: str) -> AsyncIterator[GitHost]:
    """A repository at its host, while the block lasts."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    if repository.service == "GitHub":
        headers |= {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    kinds: dict[str, type[GitHub] | type[GitLab] | type[Bitbucket]] = {
        "GitHub": GitHub,
        "GitLab": GitLab,
        "Bitbucket": Bitbucket,
    }
    async with outgoing(settings, repository.api_url, headers=headers) as http:
        yield kinds[repository.service](http, repository.path)


async def ensure_webhook(host: GitHost, url: str, secret: str) -> str:
    """Have exactly one webhook with our URL, with this secret, however often it is asked for; its id.

    Raises:
        Refused, TryLater: by the host.
    """
    found = [webhook_id for webhook_id, its_url in (await host.webhooks()).items() if its_url == url]
    if not found:
        return await host.create_webhook(url, secret)
    await host.change_webhook(found[0], url, secret)
    for spare in found[1:]:
        await host.delete_webhook(spare)
    return found[0]


async def remove_webhook(host: GitHost, url: str, webhook_id: str | None) -> None:
    """Have no webhook with our URL or id. No error where the host gives us no access any more: then we have none."""
    try:
        found = {key for key, its_url in (await host.webhooks()).items() if its_url == url}
        for each in sorted(found | ({webhook_id} if webhook_id else set())):
            await host.delete_webhook(each)
    except Refused:
        return


def _checked(answer: Answer, otherwise: str) -> Answer:
    """An answer that is a success.

    Raises:
        Refused: 401 is the token, 403 its rights, 404 what `otherwise` says.
        TryLater: anything else.
    """
    if answer.is_success:
        return answer
    if answer.status == 401:
        raise Refused("token_refused")
    if answer.status == 403:
        raise Refused("webhooks_not_permitted")
    if answer.status in (404, 410):
        raise Refused(otherwise)
    raise TryLater(f"refused_{answer.status}")


def _deleted(answer: Answer) -> None:
    if answer.status not in (404, 410):
        _checked(answer, "repository_not_found")


def _rows(told: Any) -> list[dict[str, Any]]:
    if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
        raise TryLater("malformed_answer")
    return told


def _id_of(answer: Answer, name: str) -> str:
    told = answer.json()
    found = told.get(name) if isinstance(told, dict) else None
    if not isinstance(found, (str, int)) or not 0 < len(str(found)) <= 256:
        raise TryLater("malformed_answer")
    return str(found)


def _github(url: str, secret: str) -> dict[str, Any]:
    config = {"url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0"}
    return {"active": True, "events": list(GitHub.EVENTS), "config": config}


def _gitlab(url: str, secret: str) -> dict[str, Any]:
    events = dict.fromkeys(("push_events", "tag_push_events", "merge_requests_events", "releases_events"), True)
    return {"url": url, "token": secret, "enable_ssl_verification": True, **events}


def _bitbucket(url: str, secret: str) -> dict[str, Any]:
    return {"description": "Satchel", "url": url, "active": True, "events": list(Bitbucket.EVENTS), "secret": secret}


def _part(text: str) -> str:
    return quote(text, safe="")
