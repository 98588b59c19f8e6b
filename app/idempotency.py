"""Idempotency-Key on POST: the claim is made in the write's own transaction, so it stands exactly if the write does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Annotated, Any, Final

from bson import ObjectId
from fastapi import Depends, Header, Request
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError, OperationFailure

from app.database import transaction
from app.errors import InFlight, KeyReused
from app.principal import Caller
from models.base import now
from models.idempotency import IdempotencyKey

_WRITE_CONFLICT: Final = 112


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request claims: a hash of who calls with which key, and one of what is asked for, salted with both."""

    id: str
    fingerprint: str
    keep: timedelta


@dataclass(frozen=True, slots=True)
class Done:
    """What a POST made: the id of its resource, and whether it was made by an earlier request with this key."""

    resource_id: ObjectId
    repeated: bool


Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="A repeat with the same key and body makes nothing new and gets the same resource.",
    ),
]


async def _claim(request: Request, caller: Caller, key: Key = None) -> Claim | None:
    if key is None:
        return None
    identity = sha256(f"{caller.name}\n{key}".encode()).hexdigest()
    asked = f"{caller.name}\n{key}\n{request.method} {request.url.path}\n".encode() + await request.body()
    hours = request.app.state.settings.idempotency_hours
    return Claim(identity, sha256(asked).hexdigest(), timedelta(hours=hours))


IdempotencyClaim = Annotated[Claim | None, Depends(_claim)]
"""The claim that a request makes by its Idempotency-Key, None without one."""


async def once(
    claim: Claim | None, status: int, work: Callable[[AsyncClientSession, ObjectId], Awaitable[Any]]
) -> Done:
    """Do a write in a transaction, at most once for a claim.

    Args:
        claim: of the request.
        status: that it is answered with.
        work: writes a resource under the given id. May be run several times, like any transaction's work.

    Raises:
        InFlight: a request with this key is being worked on.
        KeyReused: the key was used for another request.
        pymongo.errors.DuplicateKeyError: a unique value of the resource is taken.
    """
    resource_id = ObjectId()
    if claim is None:
        await transaction(lambda session: work(session, resource_id))
        return Done(resource_id, repeated=False)
    if (done := await _done(claim)) is not None:
        return done

    async def claimed(session: AsyncClientSession) -> None:
        await _insert(claim, status, resource_id, session)
        await work(session, resource_id)

    try:
        await transaction(claimed)
    except DuplicateKeyError:
        if (done := await _done(claim)) is None:
            raise  # of the resource, not of the claim
        return done
    return Done(resource_id, repeated=False)


async def _done(claim: Claim) -> Done | None:
    """What an earlier request with this claim made."""
    row = await IdempotencyKey.raw().find_one({"_id": claim.id, "expiresAt": {"$gt": now()}})
    if row is None:
        return None
    if row["fingerprint"] != claim.fingerprint:
        raise KeyReused("this Idempotency-Key was used for another request")
    return Done(row["resourceId"], repeated=True)


async def _insert(claim: Claim, status: int, resource_id: ObjectId, session: AsyncClientSession) -> None:
    moment = now()
    record = IdempotencyKey(
        id=claim.id,
        fingerprint=claim.fingerprint,
        status=status,
        resource_id=resource_id,
        expires_at=moment + claim.keep,
    )
    try:
        await IdempotencyKey.raw().delete_one({"_id": claim.id, "expiresAt": {"$lte": moment}}, session=session)
        await record.add(session)
    except DuplicateKeyError:
        raise
    except OperationFailure as error:
        if error.code == _WRITE_CONFLICT:
            raise InFlight(
                "a request with this Idempotency-Key is being worked on", headers={"Retry-After": "1"}
            ) from None
        raise
