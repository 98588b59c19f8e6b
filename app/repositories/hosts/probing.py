"""Whether a token reaches a repository and its webhooks, and which repository that is."""

from dataclasses import dataclass

from pydantic import SecretStr

from app.errors import Invalid, ProviderUnavailable
from app.outside.client import TryLater
from app.repositories.hosts.at_host import git_host, locate
from app.repositories.hosts.host import (
    MOVED,
    NOT_PERMITTED,
    TOKEN_REFUSED,
    GitHost,
    Identity,
    Refused,
)
from app.repositories.hosts.urls import Repository, host_id, renamed
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Place:
    """A repository by the name that it has now, and by the host's id of it, where the host tells
    one."""

    repository: Repository
    remote_id: str | None


async def probe(
    settings: Settings, repository: Repository, token: SecretStr, known: str | None
) -> Place:
    """See that the token reaches the repository and its webhooks.

    Args:
        settings: which hosts there are.
        repository: as it was named.
        token: the token.
        known: the id of the repository that the project has by this name, if there is one.
    """
    try:
        async with git_host(settings, repository, token.get_secret_value()) as host:
            found = await _found(host, host_id(known))
            await host.webhooks()
    except Refused as error:
        raise _refusal(repository, error.reason) from None
    except TryLater as error:
        wait = int(error.retry_after or 0) or 30
        detail = f"{repository.service} does not answer: {error.reason}"
        raise ProviderUnavailable(detail, retry_after=wait) from None
    return Place(renamed(repository, found.path, settings), repository.remote(found.id))


async def _found(host: GitHost, known: str | None) -> Identity:
    """The repository that was named; where the name is another one's now, that is the one."""
    try:
        return await locate(host, None)
    except Refused as error:
        if known is None or error.reason != MOVED:
            raise
    return await locate(host, known)


def _refusal(repository: Repository, reason: str) -> Invalid:
    """What a client is told whose repository or token the host refuses, for good."""
    if reason in (TOKEN_REFUSED, NOT_PERMITTED):
        return Invalid.field("/accessToken", "refused", f"{repository.service} refuses: {reason}")
    detail = f"{repository.service} refuses: {reason}"
    if reason == MOVED:
        detail += ", the repository has another name now"
    return Invalid.field("/repositoryUrl", "refused", detail)
