"""How connections, bank accounts and transactions are sent."""

from typing import Annotated, Literal

from beanie import PydanticObjectId
from pydantic import ConfigDict, Field, SecretStr

from app.shown.documents import Embedded, View
from models.bank_account import AccountStatus
from models.base import Fields, Timestamp
from models.connection import Label, Provider, Status, Undecided
from models.transaction import TransactionContent

Token = Annotated[SecretStr, Field(min_length=1, max_length=4096)]


class NewConnection(Fields):
    """What a connection is made of."""

    provider: Provider
    institution: Label
    label: Label
    access_token: Annotated[
        Token, Field(description="Of the provider; kept sealed and never sent.")
    ]


class ConnectionChange(Fields):
    """What changes of a connection by a patch."""

    institution: Label
    label: Label
    access_token: Annotated[
        Token, Field(description="Of a new login, for a connection that needs one.")
    ]
    status: Annotated[Literal["disconnected"], Field(description="Erases the token at once.")]


class ConnectionView(View):
    """A connection, without its token. `running` is the sync that is under way."""

    user_id: PydanticObjectId
    provider: Provider
    institution: str
    label: str
    status: Status
    status_reason: str | None = None
    last_sync_at: Timestamp | None = None
    next_attempt_at: Annotated[Timestamp | None, Field(description="When it is synced next.")] = (
        None
    )
    unreadable: Annotated[
        int,
        Field(
            exclude_if=lambda count: not count,
            description="What could not be read; the rest is synced.",
        ),
    ] = 0
    unreadable_reasons: Annotated[
        dict[str, int],
        Field(exclude_if=lambda reasons: not reasons, description="The same by reason."),
    ] = Field(default_factory=dict)
    undecided: Annotated[
        list[Undecided],
        Field(
            exclude_if=lambda accounts: not accounts,
            description="Accounts of which the person says which they are.",
        ),
    ] = Field(default_factory=list)
    user: Embedded = None


class SyncView(Fields):
    """What a sync by hand came to: `done`, or `continues` where the worker goes on with it."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True)

    state: Literal["done", "continues"]
    connection: ConnectionView


class BankAccountView(View):
    """A bank account."""

    user_id: PydanticObjectId
    connection_id: PydanticObjectId
    provider_id: str
    name: str
    type: str
    currency: Annotated[str, Field(description="ISO 4217.")]
    balance: Annotated[
        int | None, Field(description="Minor units; null where the bank tells none.")
    ] = None
    last_four: str | None = None
    status: AccountStatus


class TransactionView(TransactionContent, View):
    """A transaction."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, extra="ignore")

    user_id: PydanticObjectId
    bank_account_id: PydanticObjectId
