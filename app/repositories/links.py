"""What a repository connection stands for outside: its repository's id at the host, its secrets,
its webhook."""

from bson import ObjectId
from pydantic import SecretStr

from app.outside.keyring import KeyRing, SealedError
from app.repositories.hosts.webhooks import delivery_url
from app.settings import Settings
from models.base import Raw, now
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection
from models.sealed import Sealed


def webhook_url(settings: Settings, connection: RepositoryConnection) -> str:
    """Where the host delivers to."""
    return delivery_url(settings, connection.service_type, ObjectId(connection.id))


def opened(connection: RepositoryConnection, field: str, keyring: KeyRing) -> SecretStr:
    """A secret of a connection.

    Raises:
        SealedError: it does not open, or is not there.
    """
    sealed: Sealed | None = getattr(connection, field)
    place = RepositoryConnection.place_in(row_of(connection), field)
    if sealed is None:
        raise SealedError(f"there is no sealed {place}")
    return keyring.open(sealed, place)


def row_of(connection: RepositoryConnection) -> Raw:
    """What the place of a secret is made of."""
    return {"_id": connection.id, "projectId": connection.project_id}


def links_of(rows: list[Raw]) -> list[OutsideLink]:
    """The webhooks that stored connections stand for; one that is being registered is removed once
    that is over."""
    return [_link(row) for row in rows if row.get("accessToken") and row.get("isActive")]


def _link(row: Raw) -> OutsideLink:
    details = {
        name: row.get(name) for name in ("repositoryUrl", "serviceType", "webhookId", "remoteId")
    }
    link = OutsideLink.of("repository", row, "projectId", details)
    link.next_attempt_at = max(now(), row.get("registeringUntil") or now())
    return link
