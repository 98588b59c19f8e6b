"""The rules of API keys that are there: how one is found, shown and revoked."""

from typing import Annotated

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.errors import NotFound
from app.identity import trail
from app.shown.documents import View, current
from app.web.etags import tag_of
from app.web.preconditions import mismatch
from models.api_key import ApiKey, Scope
from models.app import AppId
from models.base import Timestamp
from models.ledger_note import LedgerNote
from models.precondition import Expected


class ApiKeyView(View):
    """A key, without the key."""

    name: str
    scopes: list[Scope]
    app_id: AppId | None = None
    account_id: PydanticObjectId | None = None
    expires_at: Timestamp | None = None
    events_per_second: int | None = None
    events_per_day: int | None = None
    last_used_at: Timestamp | None = None
    previous_until: Timestamp | None = None


class IssuedKey(ApiKeyView):
    """A key, shown this once."""

    key: Annotated[str, Field(repr=False)]


async def find_key(key_id: ObjectId | None) -> ApiKeyView:
    """The key with this id.

    Raises:
        NotFound: there is none.
    """
    key = await ApiKey.find_by_id(key_id)
    if key is None:
        raise NotFound("there is no such key")
    return ApiKeyView.model_validate(key)


async def revoke_key(key_id: ObjectId | None, expected: Expected | None, by: str) -> None:
    """Delete the key, if the precondition holds, and record it in the same transaction.

    Raises:
        NotFound: there is no such key.
        VersionMismatch: the precondition does not hold.
    """
    where = {"_id": key_id, **(expected.of(tag_of(key_id)).where() if expected and key_id else {})}

    async def work(session: AsyncClientSession) -> None:
        result = await ApiKey.raw().delete_one(where, session=session)
        if result.deleted_count == 0:
            raise mismatch(expected, current(await find_key(key_id)))
        if key_id is not None:
            await LedgerNote.revoke(key_id, session)
        await trail.record("key_revoked", by, detail={"keyId": str(key_id)}, session=session)

    await transaction(work)
