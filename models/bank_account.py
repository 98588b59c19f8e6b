"""Bank accounts: what a connection's login gives access to."""

from typing import Annotated, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from models.aside import read_all
from models.base import Session, Timestamp
from models.owned import OwnedByUser

AccountStatus = Literal["open", "closed"]


class BankAccount(OwnedByUser):
    """One account at a bank. It belongs to the connection that it came through.

    `closed` is an account that the provider gives no more access to; what is known of it stays.
    `synced_at` is when all its transactions had last been read. `institution` is the provider's id
    of the bank. `link` counts how often the account was joined to another one of the provider's
    after a new login; transactions bear the one they were read by.
    """

    user_id: PydanticObjectId
    connection_id: PydanticObjectId
    provider_id: str
    name: str
    type: str
    currency: str
    balance: Annotated[
        int | None,
        Field(description="Minor units of the currency; null where the bank tells none."),
    ] = None
    last_four: str | None = None
    institution: str | None = None
    link: int | None = None
    status: AccountStatus = "open"
    synced_at: Timestamp | None = None
    guard: int = 0

    class Settings:
        name = "bankaccounts"

    @classmethod
    async def all_of(
        cls, connection_id: ObjectId, *, session: Session = None
    ) -> list["BankAccount"]:
        """Every account of a connection, in no order."""
        cursor = cls.raw().find({"connectionId": connection_id}, session=session)
        return read_all(cls, await cursor.to_list())
