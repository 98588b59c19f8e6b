"""Profiles and preferences that are asked for at once come by one query, each as if it had come
alone."""

import asyncio
from typing import Final

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.errors import NotFound
from app.users.belongings import PREFERENCES, PROFILE, Belonging, loaders
from models.base import Raw
from models.user import User, UserContent

KINDS: Final = [PROFILE, PREFERENCES]


async def _people(count: int) -> list[ObjectId]:
    made = [
        await User.create_user(UserContent(email=f"p{number}@company.test"))
        for number in range(count)
    ]
    return [ObjectId(user.id) for user in made]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.document.__name__)
async def test_each_gets_their_own(
    kind: Belonging, database: AsyncDatabase[Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await _people(12)
    for person in people:
        await kind.find(person)
    asked: list[int] = []
    load = type(kind).load

    async def counted(self: Belonging, user_ids: list[ObjectId]) -> dict[ObjectId, Raw]:
        asked.append(len(user_ids))
        return await load(self, user_ids)

    monkeypatch.setattr(type(kind), "load", counted)
    loader = loaders(5.0)[kind.document]
    views = await asyncio.gather(*(kind.find(person, loader) for person in people))
    assert [ObjectId(view.user_id) for view in views] == people
    assert sum(asked) == len(people) and len(asked) < 4


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.document.__name__)
async def test_who_is_gone_or_without_spoils_it_for_nobody(
    kind: Belonging, database: AsyncDatabase[Raw]
) -> None:
    there, without, gone = await _people(3)
    for person in (there, gone):
        await kind.find(person)
    await database["users"].delete_one({"_id": gone})  # as between its commit and its sweep
    loader = loaders(5.0)[kind.document]
    found = await asyncio.gather(
        *(kind.find(person, loader) for person in (there, without, gone, ObjectId())),
        return_exceptions=True,
    )
    assert [type(each) for each in found] == [kind.view, kind.view, NotFound, NotFound]
    assert await kind.document.raw().count_documents({"userId": without}) == 1
