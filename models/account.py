"""The account: the tenant that users, cards and spending profiles belong to."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from models.base import Fields, Stored, Timestamp

AccountStatus = Literal["active", "paused", "closed"]
WebhookUrl = Annotated[
    str,
    Field(
        max_length=2048,
        pattern=r"^https?://[^\s/?#@]+(/[^\s#]*)?$",
        description=(
            "Where changes of cards and spending profiles are posted to; https in production."
        ),
    ),
]
TRANSITIONS: Final[dict[str, frozenset[str]]] = {
    "active": frozenset({"paused", "closed"}),
    "paused": frozenset({"active", "closed"}),
    "closed": frozenset(),
}
"""Status -> what it may become. Closed is final."""


class AccountContent(Fields):
    """What a caller says of an account."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    webhook_url: WebhookUrl | None = None


class Account(AccountContent, Stored):
    """A tenant. An active one has guard documents (`models.guard`), which let it take users, cards
    and profiles.

    The webhook secret is derived from a key of the server and `webhook_rotation`
    (`app.cards.secrets`): nothing here gives it away. Until `webhook_previous_until`, deliveries
    are signed by the secret before it, too.
    """

    GUARDED: ClassVar[bool] = True

    status: AccountStatus = "active"
    webhook_rotation: int = 1
    webhook_previous_until: Timestamp | None = None
    guard: int = 0

    class Settings:
        name = "accounts"
