"""How projects, repository connections and their webhook events are sent."""

from typing import Annotated, Any

from beanie import PydanticObjectId
from pydantic import ConfigDict, Field, SecretStr, StrictBool

from app.shown.documents import View
from models.base import Fields, Reference, Timestamp
from models.project import Member, ProjectName, ProjectRole
from models.repository_connection import Health, ServiceType
from models.webhook_event import EventStatus


class ProjectChange(Fields):
    """What changes of a project by a patch."""

    name: ProjectName


class NewProject(ProjectChange):
    """What a project is made of: its name, and the account that it goes with, if any."""

    account_id: Reference | None = None


class ProjectView(View):
    """A project and its members."""

    name: str
    account_id: Annotated[
        PydanticObjectId | None, Field(exclude_if=lambda value: value is None)
    ] = None
    members: list[Member]


class RoleInProject(Fields):
    """A member's role."""

    role: ProjectRole


class OpenInvitation(Fields):
    """Whom a project has invited; whether the id is anybody's is not told."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, extra="ignore")

    user_id: Annotated[PydanticObjectId, Field(validation_alias="invited")]
    role: ProjectRole
    created_at: Timestamp
    expires_at: Timestamp


class InvitationToMe(Fields):
    """A project that the caller is invited into, and what they would be there."""

    project_id: PydanticObjectId
    project_name: str
    role: ProjectRole
    created_at: Timestamp
    expires_at: Annotated[Timestamp, Field(description="It can be accepted until then.")]


class NewRepository(Fields):
    """What connects a project to its repository."""

    repository_url: Annotated[
        str, Field(min_length=1, max_length=2048, description="https or ssh form.")
    ]
    service_type: ServiceType
    access_token: Annotated[
        SecretStr, Field(min_length=1, max_length=4096, description="Kept sealed and never sent.")
    ]


class RepositoryChange(Fields):
    """What changes of a repository connection by a patch."""

    is_active: StrictBool


class RepositoryConnectionInfo(Fields):
    """A repository connection, exactly as it is shown to the public."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, extra="ignore")

    id: PydanticObjectId
    repository_url: str
    service_type: ServiceType
    is_active: bool
    last_sync_at: Timestamp | None = None
    created_at: Timestamp


class CurrentInfo(RepositoryConnectionInfo):
    """A repository connection as the `current` of a 412 carries it."""

    version: int


class HealthView(Fields):
    """How a repository connection is, by its latest probe and deliveries; `reasons` say what is
    amiss."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, extra="ignore")

    health_status: Health
    reasons: Annotated[
        list[str], Field(validation_alias="health_reasons", serialization_alias="reasons")
    ]
    is_active: bool
    last_health_check_at: Timestamp | None = None
    last_delivery_at: Timestamp | None = None
    previous_secret_until: Annotated[
        Timestamp | None,
        Field(description="Until then deliveries signed with the replaced secret are taken."),
    ] = None


class EventView(View):
    """A webhook delivery; its payload where it was asked for."""

    delivery_id: str
    event: str
    status: EventStatus
    error: str | None = None
    attempts: int
    received_at: Timestamp
    processed_at: Timestamp | None = None
    payload: Annotated[dict[str, Any] | None, Field(exclude_if=lambda payload: payload is None)] = (
        None
    )
    bytes_cut: Annotated[
        int | None,
        Field(
            exclude_if=lambda size: size is None,
            description=(
                "The size of a payload that was too large to be kept whole: of more than 1 MiB the"
                " beginnings."
            ),
        ),
    ] = None


class Taken(Fields):
    """A delivery that is stored; `duplicate` where it was before."""

    id: PydanticObjectId
    duplicate: bool
