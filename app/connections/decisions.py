"""The person says which account of before one is that is told under another id, or that it is a new
one."""

from collections.abc import Iterable
from typing import Annotated

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo.asynchronous.client_session import AsyncClientSession

from app.connections.accounts import insert
from app.connections.relinks import join
from app.database import transaction
from app.errors import Invalid, NotFound
from models.bank_account import BankAccount
from models.base import Fields, Raw, Reference, now
from models.connection import Connection, Undecided


class Decision(Fields):
    """Which bank account an undecided one is."""

    provider_id: Annotated[
        str, Field(min_length=1, max_length=256, description="As `undecided` of the connection.")
    ]
    bank_account_id: Annotated[
        Reference | None,
        Field(description="One of its `candidates`; null where it is none of them, but a new one."),
    ]


async def decide(connection: Connection, decision: Decision) -> BankAccount:
    """Join an undecided account to one of before, or add it; the next sync, soon, reads it. A
    repeat changes nothing.

    Raises:
        Invalid: there is nothing to decide of this account, or it is not one that may be chosen.
        NotFound: the connection went meanwhile.
    """
    fresh = PydanticObjectId()

    async def work(session: AsyncClientSession) -> BankAccount:
        found = await Connection.find_by_id(ObjectId(connection.id), session)
        if found is None:
            raise NotFound("there is no such connection")
        undecided = {each.provider_id: each for each in found.undecided}
        if (asked := undecided.pop(decision.provider_id, None)) is None:
            return await _decided(found, decision, session)
        await _settle(found, asked, decision, fresh, session)
        await Connection.change(
            {"_id": found.id}, _after(found, undecided.values(), decision), session=session
        )
        return await _decided(found, decision, session)

    return await transaction(work)


async def _settle(
    connection: Connection,
    asked: Undecided,
    decision: Decision,
    fresh: PydanticObjectId,
    session: AsyncClientSession,
) -> None:
    if decision.bank_account_id is None:
        told = asked.model_dump(exclude={"provider_id", "candidates"})
        await insert(connection, asked.provider_id, fresh, told, session)
        return
    old = await BankAccount.find_by_id(ObjectId(decision.bank_account_id), session)
    if decision.bank_account_id not in asked.candidates or old is None:
        raise Invalid.field("/bankAccountId", "not_allowed", "it is none of the candidates")
    told = asked.model_dump(by_alias=True, exclude={"provider_id", "candidates"})
    await join(old, asked.provider_id, {**told, "status": "open"}, session)


def _after(connection: Connection, rest: Iterable[Undecided], decision: Decision) -> Raw:
    """The fields of a connection with one decision less, which the next pass is to read."""
    chosen = decision.bank_account_id
    left = [
        each.model_copy(update={"candidates": [old for old in each.candidates if old != chosen]})
        for each in rest
    ]
    fields: Raw = {
        "undecided": [each.model_dump(by_alias=True) for each in left if each.candidates],
        "hinted": True,
    }
    return fields | ({"nextAttemptAt": now()} if connection.status == "connected" else {})


async def _decided(
    connection: Connection, decision: Decision, session: AsyncClientSession
) -> BankAccount:
    """The account that an undecided one is."""
    where = {"connectionId": connection.id, "providerId": decision.provider_id}
    row = await BankAccount.raw().find_one(where, session=session)
    if row is None:
        raise Invalid.field(
            "/providerId", "not_applicable", "there is nothing to decide of this account"
        )
    if decision.bank_account_id not in (None, row["_id"]):
        raise Invalid.field("/bankAccountId", "conflicting", "it was decided otherwise")
    return BankAccount.from_stored(row)
