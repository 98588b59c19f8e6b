"""Opening a connection's provider with its token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.connections.providers.api import BankProvider
from app.connections.providers.sandbox import sandbox
from app.connections.providers.teller import teller
from app.outside.keyring import KeyRing
from app.settings import Settings
from models.connection import Connection, Provider


@asynccontextmanager
async def provider_of(
    settings: Settings, kind: Provider, token: str
) -> AsyncIterator[BankProvider]:
    """A provider by its name, with a token, while the block lasts."""
    if kind == "sandbox":
        async with sandbox(token) as invented:
            yield invented
    else:
        async with teller(settings, token) as real:
            yield real


def token_of(connection: Connection, keyring: KeyRing) -> str:
    """The token of a connection that has one.

    Raises:
        SealedError: it does not open.
    """
    if connection.access_token is None:
        raise ValueError("the connection has no token")
    row = {"_id": connection.id, "userId": connection.user_id}
    return keyring.open(
        connection.access_token, Connection.place_in(row, "access_token")
    ).get_secret_value()
