"""Repository connections: a project's link to its Git repository, with token and webhook (seed 003)."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from models import aside
from models.base import Stored, Timestamp
from models.sealed import HoldsSecrets, Sealed

ServiceType = Literal["GitHub", "GitLab", "Bitbucket"]
Health = Literal["healthy", "degraded", "failed"]


class RepositoryConnection(HoldsSecrets, Stored):
    """A project's repository. `repository_url` is canonical (`https://host/owner/name`) and unique.

    The webhook's secret has a predecessor that deliveries may still be signed with: until `previous_secret_until`, or,
    where that is absent, until the host knows the new one (`webhook_stale`). `connected_at` is when this URL was
    connected: what came before that is another repository's.
    """

    SEALED: ClassVar[tuple[str, ...]] = ("access_token", "webhook_secret", "previous_secret")
    OWNER: ClassVar[str] = "project_id"

    project_id: PydanticObjectId
    repository_url: str
    service_type: ServiceType
    access_token: Sealed
    webhook_secret: Sealed
    previous_secret: Sealed | None = None
    previous_secret_until: Timestamp | None = None
    webhook_id: str | None = None
    webhook_stale: Annotated[bool, Field(description="The host has yet to be told of the webhook's secret.")] = True
    is_active: bool = True
    last_sync_at: Timestamp | None = None
    connected_at: Timestamp
    health_status: Health = "degraded"
    health_reasons: list[str] = Field(default_factory=list)
    last_health_check_at: Timestamp | None = None
    next_health_check_at: Timestamp | None = None
    last_delivery_at: Timestamp | None = None
    failures: int = 0
    guard: int = 0

    class Settings:
        name = "repositoryconnections"

    @classmethod
    async def find_by_project(cls, project_id: ObjectId) -> "RepositoryConnection | None":
        """The one connection of a project (seed 003, Query Existing Connection)."""
        row = await cls.raw().find_one({"projectId": project_id})
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def find_due(cls, moment: datetime, limit: int) -> list["RepositoryConnection"]:
        """Connections whose health is to be looked at, longest due first; those that cannot be read are put off."""
        cursor = cls.raw().find({"nextHealthCheckAt": {"$lte": moment}}).sort("nextHealthCheckAt", 1).limit(limit)
        return await aside.documents(cls, await cursor.to_list(), aside.later("nextHealthCheckAt"))
