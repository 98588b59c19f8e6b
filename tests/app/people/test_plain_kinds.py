"""A collection that is new below a person comes in again with an export, where it may: nobody has
to say so."""

import dataclasses
import json
from typing import Any

import pytest
from beanie import PydanticObjectId
from pydantic import Field

from app.people import restoring
from app.people.out.exported import parts_of
from app.people.restoring import EVENTS, NOT_TAKEN, TAKEN, plain_kinds, reason_left
from indexes.definitions import INDEXES
from indexes.index import UNIQUE, Index
from models import BankAccount, Project, User
from models.base import Stored
from models.owned import OwnedByUser
from models.relations import CASCADE, HOT, RELATIONS, SET_NULL, Relation
from tests.app.people.conftest import Send
from tests.cast import Cast
from tests.factories.exports import lines_of


class Keepsake(OwnedByUser):
    """A person's alone."""

    title: str = ""

    class Settings:
        name = "keepsakes"


class Named(OwnedByUser):
    """A person's, with an id that says something."""

    id: str  # type: ignore[assignment]

    class Settings:
        name = "named"


class Shared(OwnedByUser):
    """A person's, in a project."""

    project_id: PydanticObjectId

    class Settings:
        name = "shared"


class Sealed(OwnedByUser):
    """A person's, with a secret."""

    word: str = Field(default="", repr=False)

    class Settings:
        name = "sealed"


KIND = {"type": "depository", "currency": "USD"}
BELOW = Relation(Keepsake, "user_id", User, CASCADE)


def new_kinds(*relations: Relation) -> dict[str, type[Stored]]:
    """The plain kinds that these relations make, beside those that there are."""
    there = plain_kinds()
    found = plain_kinds((*RELATIONS, *relations))
    return {kind: document for kind, document in found.items() if kind not in there}


def test_what_is_new_and_a_persons_alone_is_stored_as_it_is_told() -> None:
    assert new_kinds(BELOW) == {"keepsakes": Keepsake}


@pytest.mark.parametrize(
    "relations",
    [
        (dataclasses.replace(BELOW, on_delete=SET_NULL),),
        (dataclasses.replace(BELOW, insert=HOT),),
        (dataclasses.replace(BELOW, at_once=True),),
        (dataclasses.replace(BELOW, child=Sealed),),
        (dataclasses.replace(BELOW, child=Named),),
        (
            dataclasses.replace(BELOW, child=Shared),
            Relation(Shared, "project_id", Project, CASCADE),
        ),
    ],
)
def test_what_is_not_theirs_alone_or_holds_a_secret_is_left(
    relations: tuple[Relation, ...],
) -> None:
    assert new_kinds(*relations) == {}


def test_what_may_be_in_anothers_way_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INDEXES, Keepsake, [Index({"userId": 1, "title": 1}, "by title", UNIQUE)])
    assert new_kinds(BELOW) == {}


def test_of_every_kind_an_import_says_whether_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in {part.kind for part in parts_of()} | {"users", "end"}:
        assert (kind in {*TAKEN, *restoring.AS_TOLD}) != bool(reason_left(kind)), kind
    assert not {*TAKEN, *EVENTS} & NOT_TAKEN.keys()
    assert reason_left("apikeys") is None, "no export has them, so they are refused"
    monkeypatch.delitem(NOT_TAKEN, "cards")
    monkeypatch.setattr(restoring, "_SAID", restoring._SAID - {"cards"})
    assert reason_left("cards") == restoring._OF_NO_RULE


async def test_it_comes_with_an_export_once(
    cast: Cast, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(NOT_TAKEN, "bankaccounts")
    monkeypatch.setitem(restoring.AS_TOLD, "bankaccounts", BankAccount)
    me = cast.owner
    ids = {"user_id": PydanticObjectId(me.id), "connection_id": PydanticObjectId()}
    account = BankAccount(**ids, **KIND, provider_id="p", name="Savings", version=3)
    await BankAccount.raw().insert_one(account.stored())
    exported = lines_of(await me.get("/v1/users/me/export"))
    lines = [{"kind": kind, "document": document} for kind, document in exported]
    again = await send(*lines)
    assert {each["status"] for each in again} == {"unchanged"}, again
    before = await BankAccount.raw().find_one({})
    await BankAccount.raw().delete_many({})
    guard = await guard_of(me.id)
    back = await send(*lines)
    assert {each["status"] for each in back} == {"updated", "unchanged"}, json.dumps(back)
    assert await BankAccount.raw().find_one({}) == before
    assert await guard_of(me.id) == guard + 1, "a deletion meanwhile would conflict"


@pytest.mark.parametrize(("field", "value"), [("version", 2**53), ("id", "x"), ("name", 7)])
async def test_what_is_wrong_in_one_is_named(
    cast: Cast, send: Send, monkeypatch: pytest.MonkeyPatch, field: str, value: Any
) -> None:
    monkeypatch.delitem(NOT_TAKEN, "bankaccounts")
    monkeypatch.setitem(restoring.AS_TOLD, "bankaccounts", BankAccount)
    told = {"id": "a" * 24, "userId": cast.owner.id, "connectionId": "b" * 24, "providerId": "p"}
    line = {"kind": "bankaccounts", "document": {**told, **KIND, "name": "Savings", field: value}}
    (answer,) = await send(line)
    assert (answer["status"], answer["errors"][0]["pointer"]) == ("invalid", f"/document/{field}")
    assert await BankAccount.raw().count_documents({}) == 0


async def guard_of(user_id: str) -> int:
    row = await User.raw().find_one({"_id": PydanticObjectId(user_id)})
    assert row is not None
    return int(row.get("guard", 0))
