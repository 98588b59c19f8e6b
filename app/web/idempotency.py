"""Idempotency-Key: a claim that is made in the write's own transaction, so it stands exactly if the
write does."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Annotated, Any, Final, TypeVar

from beanie import PydanticObjectId
from bson import ObjectId
from fastapi import Depends, Header, Request
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError, OperationFailure

from app.database import transaction
from app.database.rights import held
from app.errors import InFlight, Invalid, KeyReused
from app.identity.caller import Caller
from app.identity.principal import Principal
from app.web.patches import PatchKind, patch_kind
from app.web.preconditions import request_precondition
from app.web.routing import REPEATS
from models.base import WRITE_CONFLICT, now
from models.idempotency import IdempotencyKey
from models.nobody import is_unset
from models.precondition import Expected
from models.values import Json

T = TypeVar("T")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_KEYS: Final = "a key has 1 to 255 visible characters of ASCII, and is one request's own"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request claims: a hash of who calls with which key, and one of what is asked for,
    salted with both."""

    id: str
    fingerprint: str
    keep: timedelta


@dataclass(frozen=True, slots=True)
class Done:
    """What a request made: the id of its resource, and whether it was made by an earlier request
    with this key."""

    resource_id: ObjectId
    repeated: bool


Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description=(
            "A repeat with the same key and body makes nothing new and gets the same resource."
        ),
    ),
]


class Repeated(Exception):
    """The write was done by an earlier request with this claim, and answered with this status."""

    def __init__(
        self, status: int, resource_id: Any = None, results: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(status)
        self.status = status
        self.resource_id = resource_id
        self.results = results or []


class _Undone(Exception):
    """A write found that it cannot be done: its claim is not made either."""


async def _claim(request: Request, caller: Caller, key: Key = None) -> Claim | None:
    if key is None:
        return None
    key = ", ".join(request.headers.getlist("Idempotency-Key"))  # of two lines neither will do
    claim = claim_of(caller, key, request.scope, await request.body())
    row = await _found(claim)
    request.scope[REPEATS] = row is not None and row["fingerprint"] == claim.fingerprint
    return claim


def claim_of(caller: Principal, key: str, scope: Any, body: bytes) -> Claim:
    """The claim that a request makes by its key.

    Args:
        caller: who makes it.
        key: `Idempotency-Key`.
        scope: of the request.
        body: of the request.

    Raises:
        Invalid: the key is not of the allowed characters, too long, or a text that stands where one
            should be (`undefined`): another request with it would be taken for a repeat.
    """
    if not _KEY.fullmatch(key) or is_unset(key):
        raise Invalid.field("header:Idempotency-Key", "malformed", _KEYS)
    identity = sha256(f"{caller.name}\n{key}".encode()).hexdigest()
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    asked = (
        f"{caller.name}\n{key}\n{scope['method']} {scope['path']}".encode() + query + b"\n" + body
    )
    hours = scope["app"].state.settings.idempotency_hours
    return Claim(identity, sha256(asked).hexdigest(), timedelta(hours=hours))


async def check_repeat(claim: Claim | None) -> None:
    """See that a claim is not made yet.

    Raises:
        Repeated: it is.
        KeyReused: the key was used for another request.
    """
    if claim is not None and (row := await _row_of(claim)) is not None:
        raise Repeated(row["status"], row.get("resourceId"), row.get("results"))


async def make_claim(
    claim: Claim | None,
    status: int,
    session: AsyncClientSession | None,
    results: list[dict[str, Any]] | None = None,
) -> None:
    """Make a claim, if there is one, in the transaction of the write that it stands for.

    Args:
        claim: of the request.
        status: that it is answered with.
        session: of the transaction.
        results: what became of each write of a batch.

    Raises:
        InFlight: a request with this key is being worked on.
        pymongo.errors.DuplicateKeyError: the claim was made meanwhile; `check_repeat` says more.
    """
    if claim is not None and session is not None:
        await _insert(claim, status, None, session, results)


async def note_outcome(
    claim: Claim | None,
    status: int,
    resource_id: ObjectId | str | None,
    session: AsyncClientSession,
) -> None:
    """Say with what status, and about which resource, the write of a claim ends that was made in
    this transaction.

    Of a write of many resources: how far it came, in numbers and ids.
    """
    if claim is not None:
        outcome = {"status": status} | ({} if resource_id is None else {"resourceId": resource_id})
        await IdempotencyKey.raw().update_one({"_id": claim.id}, {"$set": outcome}, session=session)


async def claiming(
    claim: Claim | None,
    work: Callable[[], Awaitable[T]],
    status: Callable[[T], int] = lambda _: 200,
) -> T:
    """Do a write, with a claim in one transaction, in which the rights of the request are looked
    at, too.

    Args:
        claim: of the request.
        work: writes, and joins the transaction that it runs within; None says that nothing was
            written, and nothing is.
        status: that the outcome is answered with.

    Raises:
        InFlight: a request with this key is being worked on.
        pymongo.errors.DuplicateKeyError: the claim was made meanwhile, or a unique value is taken.
    """
    if claim is None and not held():
        return await work()
    outcome: list[T] = []

    async def claimed(session: AsyncClientSession) -> None:
        await make_claim(claim, 200, session)
        outcome[:] = [await work()]
        if outcome[0] is None:
            raise _Undone
        if status(outcome[0]) != 200:
            await note_outcome(claim, status(outcome[0]), None, session)

    with suppress(_Undone):
        await transaction(claimed)
    return outcome[0]


async def at_most_once(
    claim: Claim | None, work: Callable[[], Awaitable[T]], again: Callable[[Repeated], Awaitable[T]]
) -> T:
    """Do at most once what makes a claim, and give what is to be shown.

    Args:
        claim: of the request.
        work: does it, and makes the claim in the transaction of its write.
        again: gives what there is now, for a repeat.

    Raises:
        InFlight: a request with this key is being worked on.
        KeyReused: the key was used for another request.
    """
    try:
        await check_repeat(claim)
        return await work()
    except Repeated as done:
        return await again(done)
    except DuplicateKeyError:
        row = None if claim is None else await _row_of(claim)
        if row is None:
            raise  # of what is written, not of the claim
        return await again(Repeated(row["status"], row.get("resourceId"), row.get("results")))


async def write_once(
    claim: Claim | None,
    work: Callable[[], Awaitable[T]],
    again: Callable[[Repeated], Awaitable[T]],
    status: Callable[[T], int] = lambda _: 200,
) -> T:
    """Do a write whose parts join one transaction at most once for a claim: `at_most_once` of
    `claiming`."""
    return await at_most_once(claim, lambda: claiming(claim, work, status), again)


async def patch_once(
    claim: Claim | None,
    request: Request,
    work: Callable[[PatchKind, Json, Expected | None], Awaitable[T]],
) -> T:
    """Apply a request's patch, at most once for a claim.

    Args:
        claim: of the request.
        request: whose body is the patch.
        work: patches and gives what is to be shown; its writes join the transaction that it runs
            within. A repeat gives it a patch that changes nothing, so it shows what there is now.

    Raises:
        InFlight: a request with this key is being worked on.
        KeyReused: the key was used for another request.
    """
    kind, expected = patch_kind(request.headers.get("content-type")), request_precondition(request)
    patch = await request.json()
    return await write_once(
        claim, lambda: work(kind, patch, expected), lambda _: work(PatchKind.MERGE, {}, None)
    )


IdempotencyClaim = Annotated[Claim | None, Depends(_claim)]
"""The claim that a request makes by its Idempotency-Key, None without one."""


async def once(
    claim: Claim | None, status: int, work: Callable[[AsyncClientSession, ObjectId], Awaitable[Any]]
) -> Done:
    """Do a write in a transaction, at most once for a claim.

    Args:
        claim: of the request.
        status: that it is answered with.
        work: writes a resource under the given id. May be run several times, like any transaction's
            work.

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
    row = await _row_of(claim)
    return None if row is None else Done(row["resourceId"], repeated=True)


async def _row_of(claim: Claim) -> dict[str, Any] | None:
    row = await _found(claim)
    if row is not None and row["fingerprint"] != claim.fingerprint:
        raise KeyReused("this Idempotency-Key was used for another request")
    return row


async def _found(claim: Claim) -> dict[str, Any] | None:
    return await IdempotencyKey.raw().find_one({"_id": claim.id, "expiresAt": {"$gt": now()}})


async def _insert(
    claim: Claim,
    status: int,
    resource_id: ObjectId | None,
    session: AsyncClientSession,
    results: list[dict[str, Any]] | None = None,
) -> None:
    moment = now()
    record = IdempotencyKey(
        id=claim.id,
        fingerprint=claim.fingerprint,
        status=status,
        resource_id=None if resource_id is None else PydanticObjectId(resource_id),
        results=results,
        expires_at=moment + claim.keep,
    )
    try:
        await IdempotencyKey.raw().delete_one(
            {"_id": claim.id, "expiresAt": {"$lte": moment}}, session=session
        )
        await record.add(session)
    except DuplicateKeyError:
        raise
    except OperationFailure as error:
        if error.code == WRITE_CONFLICT:
            raise InFlight(
                "a request with this Idempotency-Key is being worked on",
                headers={"Retry-After": "1"},
            ) from None
        raise
