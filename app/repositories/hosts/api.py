"""The APIs of GitHub, GitLab and Bitbucket, as far as a repository's token and webhook go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol
from urllib.parse import quote

from app.outside.client import Answer, Outgoing, Redirected, TryLater, outgoing
from app.repositories.hosts.urls import Repository
from app.settings import Settings

_PER_PAGE: Final = "100"
_LONGEST_ID: Final = 256
_PASSING: Final = frozenset({405, 408, 409, 423, 425})
"""What passes by itself: a repository on the move (GitLab's 405), a conflict, a lock."""
MOVED: Final = "repository_moved"
NOT_FOUND: Final = "repository_not_found"
NOT_PERMITTED: Final = "webhooks_not_permitted"
TOKEN_REFUSED: Final = "token_refused"  # noqa: S105  # a reason


class Refused(Exception):
    """The host refuses, and will refuse again until somebody changes something.

    Attributes:
        reason: `token_refused`, `webhooks_not_permitted`, `repository_not_found`; `repository_moved` where the name
            leads elsewhere, `another_repository` where it is another one's now; `refused_422` and the like.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Identity:
    """What a host calls a repository: an id, which stays, and a path, which changes; None where it tells none."""

    id: str | None
    path: str | None


class GitHost(Protocol):
    """One repository at its host. Every call raises Refused or TryLater where it cannot be done."""

    def go_by_id(self, remote: str) -> None:
        """Call the repository by its id from here on, and no longer by its name."""
        ...

    async def identify(self) -> Identity:
        """See that the token reaches the repository, and which one that is."""
        ...

    async def webhooks(self) -> dict[str, str]:
        """Its webhooks: id -> URL. Who may not see them may not manage them."""
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


class _Host:
    """What the three have in common: one resource, its webhooks below it, each of them below that."""

    BY_NAME: ClassVar[str]
    BY_ID: ClassVar[str]
    ID: ClassVar[str]
    PATH: ClassVar[str]
    PAGE: ClassVar[str]
    CHANGE: ClassVar[str] = "PUT"

    def __init__(self, http: Outgoing, path: str) -> None:
        self._http = http
        self._path = self.BY_NAME.format(path)

    def go_by_id(self, remote: str) -> None:
        """Call the repository by its id from here on."""
        self._path = self.BY_ID.format(_part(remote))

    async def identify(self) -> Identity:
        """`GET` of the repository."""
        told = _checked(await self._http.send("GET", self._path), NOT_FOUND).json()
        if not isinstance(told, dict):
            raise TryLater("malformed_answer")
        path = told.get(self.PATH)
        return Identity(id_told(told.get(self.ID)), path if isinstance(path, str) else None)

    async def webhooks(self) -> dict[str, str]:
        """`GET …/hooks`."""
        answer = await self._http.send("GET", f"{self._path}/hooks", query={self.PAGE: _PER_PAGE})
        return self._listed(_checked(answer, NOT_PERMITTED).json())

    async def create_webhook(self, url: str, secret: str) -> str:
        """`POST …/hooks`."""
        answer = _checked(
            await self._http.send("POST", f"{self._path}/hooks", json=self._hook(url, secret)), NOT_PERMITTED
        )
        return self._id_of(answer)

    async def change_webhook(self, webhook_id: str, url: str, secret: str) -> None:
        """`PATCH` or `PUT …/hooks/{id}`."""
        path = f"{self._path}/hooks/{_part(webhook_id)}"
        _checked(await self._http.send(self.CHANGE, path, json=self._hook(url, secret)), NOT_PERMITTED)

    async def delete_webhook(self, webhook_id: str) -> None:
        """`DELETE …/hooks/{id}`."""
        answer = await self._http.send("DELETE", f"{self._path}/hooks/{_part(webhook_id)}")
        if answer.status not in (404, 410):
            _checked(answer, NOT_FOUND)

    def _hook(self, url: str, secret: str) -> dict[str, Any]:
        raise NotImplementedError

    def _listed(self, told: Any) -> dict[str, str]:
        return {str(row.get(self.ID)): str(row.get("url")) for row in _rows(told)}

    def _id_of(self, answer: Answer) -> str:
        told = answer.json()
        found = id_told(told.get(self.ID)) if isinstance(told, dict) else None
        if found is None:
            raise TryLater("malformed_answer")
        return found


class GitHub(_Host):
    """https://docs.github.com/rest/repos/webhooks. By its id a repository is called as GitHub's redirects call it."""

    EVENTS: Final = ("push", "pull_request", "release", "repository")
    BY_NAME, BY_ID, ID, PATH, PAGE = "/repos/{}", "/repositories/{}", "id", "full_name", "per_page"
    CHANGE = "PATCH"

    def _hook(self, url: str, secret: str) -> dict[str, Any]:
        config = {"url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0"}
        return {"name": "web", "active": True, "events": list(self.EVENTS), "config": config}

    def _listed(self, told: Any) -> dict[str, str]:
        return {str(row.get("id")): str((row.get("config") or {}).get("url")) for row in _rows(told)}


class GitLab(_Host):
    """https://docs.gitlab.com/api/project_webhooks."""

    EVENTS: Final = ("push_events", "tag_push_events", "merge_requests_events", "releases_events")
    BY_NAME, BY_ID, ID, PATH, PAGE = "/projects/{}", "/projects/{}", "id", "path_with_namespace", "per_page"

    def __init__(self, http: Outgoing, path: str) -> None:
        super().__init__(http, _part(path))

    def _hook(self, url: str, secret: str) -> dict[str, Any]:
        return {"url": url, "token": secret, "enable_ssl_verification": True, **dict.fromkeys(self.EVENTS, True)}


class Bitbucket(_Host):
    """https://developer.atlassian.com/cloud/bitbucket/rest/api-group-repositories. By its id: `{}` as the workspace."""

    EVENTS: Final = ("repo:push", "repo:updated", "repo:transfer", "pullrequest:created", "pullrequest:fulfilled")
    BY_NAME, BY_ID, ID, PATH, PAGE = "/repositories/{}", "/repositories/%7B%7D/{}", "uuid", "full_name", "pagelen"

    def _hook(self, url: str, secret: str) -> dict[str, Any]:
        events = list(self.EVENTS)
        return {"description": "Satchel", "url": url, "active": True, "events": events, "secret": secret}

    def _listed(self, told: Any) -> dict[str, str]:
        return super()._listed(told.get("values") if isinstance(told, dict) else None)


@asynccontextmanager
async def git_host(settings: Settings, repository: Repository, token: str) -> AsyncIterator[GitHost]:
    """A repository at its host, while the block lasts."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    if repository.service == "GitHub":
        headers |= {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    kinds: dict[str, type[_Host]] = {"GitHub": GitHub, "GitLab": GitLab, "Bitbucket": Bitbucket}
    async with outgoing(settings, repository.api_url, headers=headers) as http:
        yield kinds[repository.service](http, repository.path)


async def locate(host: GitHost, known: str | None) -> Identity:
    """Find a repository by its name and, where that leads elsewhere, by its id.

    A redirect is not followed: its target is the host's to say, and a name may be another repository's meanwhile.

    Args:
        host: asked by name; where the id was needed, it goes by the id from here on.
        known: the host's id of the repository, if it is known.

    Raises:
        Refused, TryLater: by the host; the name leads elsewhere, and by the id there is nothing.
    """
    refused = await _amiss_by_name(host, known)
    if isinstance(refused, Identity):
        return refused
    if known is None:
        raise refused
    host.go_by_id(known)
    try:
        found = await host.identify()
    except Refused as error:
        raise refused if error.reason == NOT_FOUND else error from None
    if found.id != known:
        raise refused
    return found


async def _amiss_by_name(host: GitHost, known: str | None) -> Identity | Refused:
    """The repository that the name leads to, or why that is not the one that is known."""
    try:
        found = await host.identify()
    except Redirected:
        return Refused(MOVED)
    except Refused as error:
        if error.reason != NOT_FOUND:
            raise
        return error
    return found if known in (None, found.id) else Refused("another_repository")


def _checked(answer: Answer, otherwise: str) -> Answer:
    """An answer that is a success.

    Raises:
        Refused: 401 is the token, 403 its rights, 404 what `otherwise` says; another 4xx by its number.
        TryLater: what passes by itself.
    """
    if answer.is_success:
        return answer
    if answer.status in _PASSING:
        raise TryLater(f"refused_{answer.status}")
    reasons = {401: TOKEN_REFUSED, 403: NOT_PERMITTED, 404: otherwise, 410: otherwise}
    raise Refused(reasons.get(answer.status, f"refused_{answer.status}"))


def id_told(value: Any) -> str | None:
    """An id as a host tells it, a number or a text, as text; None where it is neither."""
    is_id = isinstance(value, (str, int)) and not isinstance(value, bool)
    return str(value) if is_id and 0 < len(str(value)) <= _LONGEST_ID else None


def _rows(told: Any) -> list[dict[str, Any]]:
    if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
        raise TryLater("malformed_answer")
    return told


def _part(text: str) -> str:
    return quote(text, safe="")
