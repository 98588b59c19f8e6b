"""A repository that has another name now: its connection follows it by the host's id, and whoever
is in the way yields.

A host's names are true for a moment only. So whoever had to yield is looked at next, and what two
moves got wrong between them is put right by the host's next answers.
"""

from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.database import transaction
from app.outside.client import TryLater
from app.repositories.deactivation import DEACTIVATED
from app.repositories.hosts.host import Identity, Refused
from app.repositories.hosts.urls import Repository, parked_url, renamed
from app.repositories.links import links_of
from app.settings import Settings
from models.base import Raw, now
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection

ELSEWHERE = "connected_elsewhere"


class Changed(Exception):
    """The connection went, was deactivated, or has other secrets now: what was to be done for it is
    not to be done."""


def is_as_read(connection: RepositoryConnection) -> Raw:
    """The filter for a connection that still is active, with the secret that was read."""
    cipher = connection.webhook_secret.stored().get("c")
    return {"_id": connection.id, "isActive": True, "webhookSecret.c": cipher}


async def follow(
    connection: RepositoryConnection, repository: Repository, found: Identity, settings: Settings
) -> RepositoryConnection:
    """Keep the name that the host gives a connection's repository now, and its id where that was
    not known.

    Args:
        connection: as read.
        repository: its repository, by the stored name.
        found: what the host tells of it.
        settings: which hosts there are.

    Returns:
        The connection as it is then.

    Raises:
        Changed: it changed meanwhile.
        Refused: another project's connection has this repository; this one is deactivated.
        TryLater: another connection has this name, and its repository's id is not known yet.
    """
    remote_id = connection.remote_id or repository.remote(found.id)
    url = renamed(repository, found.path, settings).url
    if (remote_id, url) == (connection.remote_id, connection.repository_url):
        return connection
    try:
        return await _move(connection, url, remote_id)
    except DuplicateKeyError:  # of the name, of the id, or of both, of which the driver tells one
        pass
    if remote_id is None or not await _is_elsewhere(connection, remote_id):
        await _look_at({"repositoryUrl": url})
        raise TryLater("name_taken")
    await give_way(connection, remote_id)
    raise Refused(ELSEWHERE)


async def _is_elsewhere(connection: RepositoryConnection, remote_id: str) -> bool:
    """Whether another connection has the repository."""
    row = await RepositoryConnection.raw().find_one({"remoteId": remote_id}, {"_id": 1})
    return row is not None and row["_id"] != connection.id


async def _move(
    connection: RepositoryConnection, url: str, remote_id: str | None
) -> RepositoryConnection:
    fields: Raw = {"repositoryUrl": url, "remoteId": remote_id}

    async def work(session: AsyncClientSession) -> RepositoryConnection | None:
        await clear_name(url, remote_id, session)
        where = is_as_read(connection) | {"repositoryUrl": connection.repository_url}
        return await RepositoryConnection.change(where, fields, session=session)

    moved = await transaction(work)
    if moved is None:
        raise Changed
    return moved


async def clear_name(url: str, remote_id: str | None, session: AsyncClientSession) -> None:
    """Take a name from the connection of another repository, since its host has just said whose it
    is.

    That one is left without a name, and looked at next.

    Args:
        url: the name.
        remote_id: whose it is; where that is not known nobody yields.
        session: of the transaction in which the name is given.
    """
    if remote_id is None:
        return
    row = await RepositoryConnection.raw().find_one(
        {"repositoryUrl": url}, {"remoteId": 1}, session=session
    )
    if row is not None and row.get("remoteId") not in (None, remote_id):
        fields = {"repositoryUrl": parked_url(row["remoteId"]), "nextHealthCheckAt": now()}
        await RepositoryConnection.change({"_id": row["_id"]}, fields, session=session)


async def _look_at(where: Mapping[str, Any]) -> None:
    due = {"$set": {"nextHealthCheckAt": now()}}
    await RepositoryConnection.raw().update_one({**where, "isActive": True}, due)


async def give_way(connection: RepositoryConnection, remote_id: str | None) -> None:
    """Deactivate a connection whose repository another connection has, and have its webhook
    removed.

    Raises:
        Changed: it changed meanwhile.
    """
    fields: Raw = DEACTIVATED | {
        "healthStatus": "failed",
        "healthReasons": [ELSEWHERE],
        "lastHealthCheckAt": now(),
    }

    async def work(session: AsyncClientSession) -> RepositoryConnection | None:
        row = await RepositoryConnection.raw().find_one(is_as_read(connection), session=session)
        if row is None:
            return None
        await OutsideLink.add_all(links_of([row | {"remoteId": remote_id}]), session)
        return await RepositoryConnection.change(
            {"_id": ObjectId(connection.id)}, fields, session=session
        )

    if await transaction(work) is None:
        raise Changed
