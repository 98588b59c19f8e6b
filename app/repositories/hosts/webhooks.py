"""One webhook of ours at a repository, whoever else was at it: never two, and none that stands for
nobody any more."""

import re
from collections.abc import Mapping
from typing import Final

from bson import ObjectId

from app.outside.client import TryLater
from app.repositories.hosts.at_host import locate
from app.repositories.hosts.host import NOT_FOUND, NOT_PERMITTED, TOKEN_REFUSED, GitHost, Refused
from app.settings import Settings

_ID: Final = re.compile("[0-9a-f]{24}")
_NO_ACCESS: Final = frozenset({NOT_FOUND, NOT_PERMITTED, TOKEN_REFUSED, "another_repository"})


def delivery_url(settings: Settings, service: str, connection_id: ObjectId) -> str:
    """Where deliveries for a connection go."""
    return f"{settings.url}/v1/webhooks/{service.lower()}/{connection_id}"


def strays(found: Mapping[str, str], url: str) -> list[str]:
    """The ids of webhooks that come here for other connections: one repository has one, so that
    they are gone.

    Args:
        found: the webhooks of a repository: id -> URL.
        url: that of the repository's connection.
    """
    prefix = url.rpartition("/")[0] + "/"
    others = {
        key: its_url.removeprefix(prefix)
        for key, its_url in found.items()
        if its_url.startswith(prefix)
    }
    return [key for key, rest in others.items() if _ID.fullmatch(rest) and prefix + rest != url]


def is_alone(found: Mapping[str, str], webhook_id: str | None, url: str) -> bool:
    """Whether of the webhooks at a repository this one, and no other one of ours, stands for its
    connection."""
    return [key for key, its_url in found.items() if its_url == url] == [webhook_id] and not strays(
        found, url
    )


async def ensure_webhook(host: GitHost, url: str, secret: str) -> str:
    """Have exactly one webhook of ours, with this URL and secret, however often and by however many
    it is asked for.

    Two who find none at once both make one. Each looks again, and both leave the same one.

    Returns:
        Its id.

    Raises:
        Refused, TryLater: by the host.
    """
    found = await host.webhooks()
    created = None
    if url not in found.values():
        created = await _create(host, url, secret)
        found = await host.webhooks()
    mine = sorted(
        (key for key, its_url in found.items() if its_url == url), key=lambda key: (len(key), key)
    )
    kept = mine[0] if mine else created
    if kept is None:
        raise Refused("refused_422")
    if kept != created:
        await host.change_webhook(kept, url, secret)
    for spare in [*mine[1:], *strays(found, url)]:
        await host.delete_webhook(spare)
    return kept


async def _create(host: GitHost, url: str, secret: str) -> str | None:
    """A fresh webhook's id; None where the host refuses a second one, as GitHub does."""
    try:
        return await host.create_webhook(url, secret)
    except Refused as error:
        if error.reason != "refused_422":
            raise
        return None


async def remove_webhook(
    host: GitHost, known: str | None, url: str, webhook_id: str | None
) -> None:
    """Have no webhook with our URL or id. No error where the host gives us no access any more: then
    we have none.

    Args:
        host: of the repository.
        known: the host's id of the repository, if it is known.
        url: the webhook's.
        webhook_id: the webhook's, if it is known.

    Raises:
        TryLater: it may still be there.
    """
    try:
        await locate(host, known)
        found = {key for key, its_url in (await host.webhooks()).items() if its_url == url}
        for each in sorted(found | ({webhook_id} if webhook_id else set())):
            await host.delete_webhook(each)
    except Refused as error:
        if error.reason not in _NO_ACCESS:
            raise TryLater(error.reason) from None
