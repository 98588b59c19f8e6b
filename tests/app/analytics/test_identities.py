"""Who is who, said by the batch: the first word counts, however many speak at once."""

import asyncio
from contextvars import Context
from typing import Any

import pytest
from bson import ObjectId

from app.analytics.ingest import identities
from models.base import Raw
from models.person import IdentityJoin
from models.profile import Profile
from models.user import User
from tests.cast import Cast
from tests.factories.segment import DONE, send, write_key
from tests.harness import Api


def says(anonymous: str, user: Any) -> dict[str, Any]:
    return {"type": "identify", "anonymousId": anonymous, "userId": str(user)}


async def joins() -> dict[str, Raw]:
    return {row["_id"]: row async for row in IdentityJoin.raw().find({})}


async def test_a_full_batch_takes_a_few_transactions(
    cast: Cast, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await write_key(api)
    begun = []
    carry_out = identities.transaction

    async def counted(work: Any) -> Any:
        begun.append(work)
        return await carry_out(work)

    monkeypatch.setattr(identities, "transaction", counted)
    people = [cast.owner.id, cast.stranger.id, "crm-7"]
    batch = [says(f"a-{number}", people[number % 3]) for number in range(2500)]
    assert (await send(key, *batch)).json() == DONE
    assert len(await joins()) == 2500
    assert len(begun) == 5
    assert (await send(key, *batch)).json() == DONE
    assert len(begun) == 5  # all is known: nothing is written


async def test_of_two_words_in_one_batch_the_first_counts(cast: Cast, api: Api) -> None:
    await send(
        await write_key(api),
        says("a-1", "crm-1"),
        says("a-1", cast.owner.id),
        says("a-2", cast.owner.id),
    )
    found = await joins()
    assert (found["notes/a:a-1"]["externalId"], found["notes/a:a-2"]["userId"]) == (
        "crm-1",
        ObjectId(cast.owner.id),
    )


async def test_many_who_speak_at_once_of_the_same_ids_leave_one_word_of_each(
    cast: Cast, api: Api
) -> None:
    key = await write_key(api)
    people = [cast.owner.id, cast.stranger.id, "crm-1", "crm-2"]
    batches = [[says(f"a-{number}", person) for number in range(40)] for person in people]
    for batch in batches[::2]:
        batch.reverse()
    answers = await asyncio.gather(*(send(key, *batch) for batch in batches))
    assert [answer.json() for answer in answers] == [DONE] * 4
    found = await joins()
    assert len(found) == 40
    assert all(row["due"] and ("userId" in row) != ("externalId" in row) for row in found.values())
    for row in found.values():
        assert str(row.get("userId", row.get("externalId"))) in people


async def test_a_user_who_goes_meanwhile_is_nobodys_join_and_the_next_word_counts(
    cast: Cast, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is held, and the user is gone when the join is written."""
    key = await write_key(api)
    add = identities._add_joins

    async def goes(rows: list[Raw], session: Any) -> set[ObjectId]:
        await User.raw().delete_one({"_id": ObjectId(cast.owner.id)})
        return await add(rows, session)

    monkeypatch.setattr(identities, "_add_joins", goes)
    await send(
        key, says("a-1", cast.owner.id), says("a-1", cast.stranger.id), says("a-2", cast.owner.id)
    )
    found = await joins()
    assert {name: row["userId"] for name, row in found.items()} == {
        "notes/a:a-1": ObjectId(cast.stranger.id)
    }


async def test_traits_of_many_are_written_and_an_admins_spared(cast: Cast, api: Api) -> None:
    await cast.admin.put("/v1/apps/notes", json={"identifyTraits": ["plan", "size"]})
    await User.raw().update_one({"_id": ObjectId(cast.stranger.id)}, {"$set": {"role": "admin"}})
    server = await api.key("events:write", "users:write")
    told = [
        {"type": "identify", "userId": cast.owner.id, "traits": {"plan": "free", "size": 3}},
        {"type": "identify", "userId": cast.stranger.id, "traits": {"plan": "free"}},
        {"type": "identify", "userId": cast.owner.id, "traits": {"plan": "team", "other": 1}},
    ]
    await send(server, *told, path="/v1/batch?appId=notes")
    found = {row["userId"]: row["metadata"] async for row in Profile.raw().find({})}
    assert found[ObjectId(cast.owner.id)] == {"plan": "team", "size": 3}
    assert found[ObjectId(cast.stranger.id)] == {}


@pytest.mark.parametrize(("other", "status"), [("owner", 200), ("stranger", 409)])
async def test_an_id_that_somebody_else_is_just_linking_is_linked_once(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, other: str, status: int
) -> None:
    path, check = "/v1/apps/notes/external-ids/crm-7", identities.check_references

    async def after_another(*asked: Any) -> None:
        monkeypatch.setattr(identities, "check_references", check)
        linking = cast.admin.put(path, json={"userId": getattr(cast, other).id})
        first = await asyncio.create_task(linking, context=Context())  # in no transaction of ours
        assert first.status_code == 201
        await check(*asked)

    monkeypatch.setattr(identities, "check_references", after_another)
    answer = await cast.admin.put(path, json={"userId": cast.owner.id})
    assert answer.status_code == status
    told = (await cast.admin.get(path)).json()
    assert told["userId"] == getattr(cast, other).id
