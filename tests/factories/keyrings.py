"""What is sealed by a key ring, and a ring that is changed meanwhile."""

import asyncio
from typing import Any

from beanie import PydanticObjectId
from pydantic import SecretStr
from typer.testing import CliRunner

from app.database import transaction
from app.outside.keyring import KeyRing
from models.base import now
from models.connection import Connection
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection
from models.sealed import Sealed
from scripts.cli import app

COUNT = 30


def a_connection(row: dict[str, Any], sealed: Sealed) -> Connection:
    """A connection of this `_id` and user, with a sealed token."""
    return Connection(
        id=row["_id"],
        user_id=row["userId"],
        provider="teller",
        institution="B",
        label="l",
        access_token=sealed,
    )


async def furnish(ring: KeyRing) -> None:
    """Connections, repositories and a link to remove, each with its secrets."""
    for number in range(COUNT):
        row = {"_id": PydanticObjectId(), "userId": PydanticObjectId()}
        sealed = ring.seal(SecretStr(f"token {number}"), Connection.place_in(row, "access_token"))
        await transaction(a_connection(row, sealed).add)
    row = {"_id": PydanticObjectId(), "projectId": PydanticObjectId()}
    secrets: dict[str, Any] = {
        field: ring.seal(SecretStr(field), RepositoryConnection.place_in(row, field))
        for field in RepositoryConnection.SEALED
    }
    repository = RepositoryConnection(
        id=row["_id"], project_id=row["projectId"], repository_url="https://github.com/a/b",
        service_type="GitHub",
        connected_at=now(), **secrets,
    )  # fmt: skip
    await transaction(repository.add)
    stored: Any = await Connection.raw().find_one({})
    await transaction(OutsideLink.of("bank", stored, "userId", {"provider": "teller"}).add)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["keyring", *arguments])


async def in_thread(*arguments: str) -> Any:
    """The command has an event loop of its own."""
    return await asyncio.to_thread(run, *arguments)
