"""Idempotency keys: which POST was done already, and what it made; never the answer itself."""

from typing import Annotated

from beanie import PydanticObjectId
from pydantic import Field

from models.base import Raw, Stored, Timestamp


class IdempotencyKey(Stored):
    """A claim, inserted in the transaction of the write that it stands for.

    `_id` is a hash of caller and key; `fingerprint` is a hash of method, path and body, salted with
    both; neither holds or gives away what was sent. `resource_id` is what was made; of a write of
    many, how far it came.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    fingerprint: str
    status: int
    resource_id: Annotated[
        PydanticObjectId | str | None, Field(description="What the request made.")
    ] = None
    results: Annotated[
        list[Raw] | None,
        Field(
            description=(
                "Of app data: what became of each write (status, version, times, codes of errors)."
            )
        ),
    ] = None
    expires_at: Timestamp

    class Settings:
        name = "idempotencykeys"
