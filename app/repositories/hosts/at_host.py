"""One repository at its host: reached with a token, found by its name or by the host's id of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.outside.client import Redirected, outgoing
from app.repositories.hosts.host import MOVED, NOT_FOUND, GitHost, Identity, Refused
from app.repositories.hosts.registry import HOSTS
from app.repositories.hosts.urls import Repository
from app.settings import Settings


@asynccontextmanager
async def git_host(
    settings: Settings, repository: Repository, token: str
) -> AsyncIterator[GitHost]:
    """A repository at its host, while the block lasts."""
    kind = HOSTS[repository.service]
    headers = {"Authorization": f"{kind.SCHEME} {token}", **kind.HEADERS}
    async with outgoing(settings, repository.api_url, headers=headers) as http:
        yield kind(http, repository.path)


async def locate(host: GitHost, known: str | None) -> Identity:
    """Find a repository by its name and, where that leads elsewhere, by its id.

    A redirect is not followed: its target is the host's to say, and a name may be another
        repository's meanwhile.

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
