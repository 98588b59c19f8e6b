"""The driver's client, with what an application knows of the database that it is connected to."""

from datetime import timedelta
from typing import Any, Self

from pymongo import AsyncMongoClient

from app.database.lane import Lane
from app.settings import Settings
from models.base import Raw


class Client(AsyncMongoClient[Raw]):
    """The client of one application, script or worker.

    Args:
        settings: of the application.
        uri: connection string.
        options: of the driver.

    Attributes:
        lane: before its pool.
        audit_for: how long the audit trail is kept.
    """

    def __init__(self, settings: Settings, uri: str, **options: Any) -> None:
        super().__init__(uri, **options)
        self.lane = Lane(settings.pool_max_size, settings.request_timeout_ms / 1000)
        self.audit_for = timedelta(days=settings.audit_days)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self
