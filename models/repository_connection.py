"""Repository connections: a project's link to its Git repository, with token and webhook."""

from datetime import timedelta
from typing import Annotated, ClassVar, Final, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from models import aside
from models.base import Raw, Stored, Timestamp, now
from models.claims import claim_first
from models.sealed import HoldsSecrets, Sealed

ServiceType = Literal["GitHub", "GitLab", "Bitbucket"]
Health = Literal["healthy", "degraded", "failed"]
LEASE: Final = timedelta(seconds=60)


class RepositoryConnection(HoldsSecrets, Stored):
    """A project's repository. `repository_url` is canonical (`https://host/owner/name`) and unique.

    The webhook's secret has a predecessor that deliveries may still be signed with: until
    `previous_secret_until`, or, where that is absent, until the host knows the new one
    (`webhook_stale`). `connected_at` is when this repository was
    connected: what came before that is another one's. `remote_id` is the host and its id of the
        repository
    (`github.com/1296269`), which stays when the repository is renamed; it is unique.
    `next_health_check_at` is both when to look and how long a worker's claim of a check holds; what
    the check writes names it, so that one whose claim ran out writes no more.
    """

    GUARDED: ClassVar[bool] = True
    SEALED: ClassVar[tuple[str, ...]] = ("access_token", "webhook_secret", "previous_secret")
    OWNER: ClassVar[str] = "project_id"

    project_id: PydanticObjectId
    repository_url: str
    remote_id: Annotated[str | None, Field(description="Absent until the host has told it.")] = None
    service_type: ServiceType
    access_token: Sealed
    webhook_secret: Sealed
    previous_secret: Sealed | None = None
    previous_secret_until: Timestamp | None = None
    webhook_id: str | None = None
    webhook_stale: Annotated[
        bool, Field(description="The host has yet to be told of the webhook's secret.")
    ] = True
    registering_until: Annotated[
        Timestamp | None,
        Field(
            description="A webhook may come to be at the host until then; it is removed after that."
        ),
    ] = None
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
        """The one connection of a project (required: Query Existing Connection)."""
        row = await cls.raw().find_one({"projectId": project_id})
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def claim_due(cls, *, healthy: bool = False) -> "RepositoryConnection | None":
        """Take the connection whose health check is longest due, for `LEASE`; None where none is
        due.

        One that cannot be read is put off.

        Args:
            healthy: leave out those whose host did not answer last time.
        """
        while (
            row := await cls._claim_row({"failures": {"$not": {"$gt": 0}}} if healthy else {})
        ) is not None:
            if found := await aside.documents(cls, [row], aside.later("nextHealthCheckAt")):
                return found[0]
        return None

    @classmethod
    async def _claim_row(cls, which: Raw) -> Raw | None:
        moment = now()
        due: Raw = {"nextHealthCheckAt": {"$lte": moment}, **which}
        return await claim_first(
            cls, due, "nextHealthCheckAt", {"$set": {"nextHealthCheckAt": moment + LEASE}}
        )

    @property
    def held(self) -> Raw:
        """The filter of the connection while the claim by which it was read holds, and nobody wants
        another look."""
        return {"_id": self.id, "nextHealthCheckAt": self.next_health_check_at}
