"""Routes of a key's life: rotation."""

from datetime import timedelta
from functools import partial
from typing import Annotated

from bson import ObjectId
from fastapi import Request, Response
from pymongo.asynchronous.client_session import AsyncClientSession

from app.auth.api_keys import ApiKeyView, IssuedKey
from app.auth.examples import ROTATE
from app.auth.schemas import RotateRequest
from app.database import transaction
from app.errors import AlreadyDone, NotFound
from app.identity import trail
from app.identity.access import ADMIN
from app.identity.authenticator import authenticator
from app.identity.caller import Caller
from app.identity.principal import Principal, authorize
from app.web.idempotency import IdempotencyClaim, Repeated, write_once
from app.web.openapi.answers import problems
from app.web.routing import Router
from models.api_key import ApiKey
from models.base import parse_id
from models.ledger_note import LedgerNote

router = Router(prefix="/v1/api-keys", tags=["API keys"])


@router.post(
    "/{keyId}/rotate",
    access=ADMIN,
    operation_id="rotateApiKey",
    summary="Give an API key a new secret",
    responses=problems(409),
)
async def rotate_key(
    keyId: str,
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
    response: Response,
    body: Annotated[RotateRequest | None, ROTATE] = None,
) -> IssuedKey:
    """Shown this once. The secret before is honoured for a day (a setting), or for `overlapHours`;
    0 ends it now."""
    authorize(caller, "admin")
    key_id = parse_id(keyId)
    hours = body.overlap_hours if body else None
    overlap = timedelta(
        hours=request.app.state.settings.key_overlap_hours if hours is None else hours
    )

    work = partial(_rotate, key_id, overlap, caller)

    async def again(_: Repeated) -> tuple[ApiKey, str]:
        raise AlreadyDone("the key was rotated and shown before", extra={"id": keyId})

    key, secret = await write_once(claim, lambda: transaction(work), again)
    if key.id is not None:
        authenticator(request.scope).forget(key.id)
    response.headers["Cache-Control"] = "no-store"
    return IssuedKey(**ApiKeyView.model_validate(key).model_dump(), key=secret)


async def _rotate(
    key_id: ObjectId | None, overlap: timedelta, caller: Principal, session: AsyncClientSession
) -> tuple[ApiKey, str]:
    rotated = None if key_id is None else await ApiKey.rotate(key_id, overlap, session=session)
    if rotated is None:
        raise NotFound("there is no such key")
    await LedgerNote.revoke(ObjectId(rotated[0].id), session, below=rotated[0].version)
    await trail.record("key_rotated", caller.name, detail={"keyId": str(key_id)}, session=session)
    return rotated
