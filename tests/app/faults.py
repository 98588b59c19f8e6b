"""Faults of the database, on order: commands that fail, indexes that are missing, documents that vanish."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pymongo import AsyncMongoClient

TRANSIENT = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}


@asynccontextmanager
async def failing(client: AsyncMongoClient[Any], *commands: str, mode: Any, **how: Any) -> AsyncIterator[None]:
    """Have mongod fail these commands of Satchel's clients: `mode` and `how` are `failCommand`'s."""
    data = {"failCommands": list(commands), "appName": "satchel", **how}
    await client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
    try:
        yield
    finally:
        await client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
