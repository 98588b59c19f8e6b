"""Who is at the same card, user or account at the same time: one of them wins, and nothing is left
in between."""

import asyncio
import random
from typing import Any

import pytest
from bson import ObjectId

from models.card import Card
from models.card_event import CardEvent
from models.card_queue import CardQueue
from models.user import User
from tests.cast import Cast, Programme

ROUNDS = 24
LATE = (0.0, 0.05, -0.05)
"""How much later than the other one of the two begins, round by round: together, and each of them
first."""


def card_of(user: str) -> dict[str, Any]:
    return {"userId": user, "lastFour": "1881"}


async def test_of_racing_patches_with_one_version_one_wins(programme: Programme) -> None:
    match = {"If-Match": '"1"'}
    patches: list[dict[str, Any]] = [
        {"status": "open"},
        *({"spendLimit": cents} for cents in range(1, 8)),
    ]
    answers = await asyncio.gather(
        *(programme.manager.merge(programme.card_path, patch, headers=match) for patch in patches)
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert (await programme.manager.get(programme.card_path)).json()["version"] == 2
    assert await CardEvent.raw().count_documents({"subject": ObjectId(programme.card)}) == 2


async def test_racing_patches_without_a_version_are_all_done_and_all_told(
    programme: Programme,
) -> None:
    answers = await asyncio.gather(
        *(
            programme.manager.merge(programme.card_path, {"spendLimit": cents})
            for cents in range(1, 9)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 10))
    rows = (
        await CardEvent.raw()
        .find({"subject": ObjectId(programme.card)})
        .sort("sequence", 1)
        .to_list()
    )
    assert [row["sequence"] for row in rows] == list(range(1, 10))


async def test_a_card_is_closed_once(programme: Programme) -> None:
    answers = await asyncio.gather(
        *(
            programme.manager.merge(programme.card_path, {"status": status})
            for status in ["open", "closed"] * 4
        )
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert (await programme.manager.get(programme.card_path)).json()["status"] == "closed"


async def test_pausing_an_account_among_creations_lets_none_in_afterwards(
    programme: Programme,
) -> None:
    randomness = random.Random(7)
    outcomes: set[int] = set()
    for number in range(ROUNDS):
        late = LATE[number % 3]

        async def create(late: float = late) -> tuple[int, int]:
            await asyncio.sleep(randomness.uniform(0, 0.02) - min(late, 0))
            made = await programme.manager.post(
                f"{programme.path}/cards", json=card_of(programme.holder.id)
            )
            return made.status_code, await Card.raw().count_documents({})

        async def pause(late: float = late) -> int:
            await asyncio.sleep(randomness.uniform(0, 0.02) + max(late, 0))
            assert (
                await programme.manager.merge(programme.path, {"status": "paused"})
            ).status_code == 200
            return await Card.raw().count_documents({})

        *made, when_paused = await asyncio.gather(*(create() for _ in range(4)), pause())
        outcomes |= {status for status, _ in made}
        assert {status for status, _ in made} <= {201, 409}
        assert await Card.raw().count_documents({}) == when_paused, (
            "a card came after the account was paused"
        )
        assert (
            await programme.manager.merge(programme.path, {"status": "active"})
        ).status_code == 200
    assert outcomes == {201, 409}


async def test_opening_cards_while_the_account_is_paused_opens_none_afterwards(
    programme: Programme,
) -> None:
    randomness = random.Random(7)
    outcomes: set[int] = set()
    for number in range(ROUNDS):
        late = LATE[number % 3]
        made = [
            await programme.manager.post(
                f"{programme.path}/cards", json=card_of(programme.holder.id)
            )
            for _ in range(4)
        ]
        paths = [f"{programme.path}/cards/{each.json()['id']}" for each in made]

        async def open_one(path: str, late: float = late) -> int:
            await asyncio.sleep(randomness.uniform(0, 0.02) - min(late, 0))
            return (await programme.manager.merge(path, {"status": "open"})).status_code

        async def pause(late: float = late) -> int:
            await asyncio.sleep(randomness.uniform(0, 0.02) + max(late, 0))
            assert (
                await programme.manager.merge(programme.path, {"status": "paused"})
            ).status_code == 200
            return await Card.raw().count_documents({"status": "open"})

        *opened, when_paused = await asyncio.gather(*(open_one(path) for path in paths), pause())
        outcomes |= set(opened)
        assert await Card.raw().count_documents({"status": "open"}) == when_paused, (
            "a card opened afterwards"
        )
        assert (
            await programme.manager.merge(programme.path, {"status": "active"})
        ).status_code == 200
    assert outcomes == {200, 409}


async def test_giving_a_user_a_card_and_another_account_never_both(
    cast: Cast, programme: Programme
) -> None:
    randomness = random.Random(7)
    outcomes: set[tuple[int, int]] = set()
    for number in range(ROUNDS):
        late = LATE[number % 3]
        user = (await programme.manager.post(f"{programme.path}/users", json={})).json()["id"]

        async def give(user: str = user, late: float = late) -> int:
            await asyncio.sleep(randomness.uniform(0, 0.01) + max(late, 0))
            return (
                await programme.manager.post(f"{programme.path}/cards", json=card_of(user))
            ).status_code

        async def move(user: str = user, late: float = late) -> int:
            await asyncio.sleep(randomness.uniform(0, 0.01) - min(late, 0))
            return (
                await cast.admin.merge(f"/v1/users/{user}", {"accountId": programme.elsewhere})
            ).status_code

        given, moved = await asyncio.gather(give(), move())
        outcomes.add((given, moved))
        row = await User.raw().find_one({"_id": ObjectId(user)})
        assert row is not None
        assert (given, moved) in {(201, 409), (400, 200)}
        assert str(row["accountId"]) == (programme.elsewhere if moved == 200 else programme.account)
    assert len(outcomes) == 2


async def test_many_cards_of_one_account_are_made_at_once(programme: Programme) -> None:
    """Sixteen guard documents: creations for different users do not wait for one another's
    counter."""
    users = [
        (await programme.manager.post(f"{programme.path}/users", json={})).json()["id"]
        for _ in range(12)
    ]
    made = await asyncio.gather(
        *(
            programme.manager.post(f"{programme.path}/cards", json=card_of(user))
            for user in users
            for _ in range(2)
        )
    )
    assert [answer.status_code for answer in made] == [201] * 24
    assert (
        await CardQueue.raw().count_documents({"accountId": ObjectId(programme.account), "last": 1})
        == 24 + 3
    )


@pytest.mark.parametrize("status", ["pending", "closed"])
async def test_a_user_who_is_deleted_while_a_card_is_given_has_no_card_left(
    cast: Cast, programme: Programme, status: str
) -> None:
    randomness = random.Random(7)
    for _ in range(ROUNDS):
        user = (await programme.manager.post(f"{programme.path}/users", json={})).json()["id"]
        if status == "closed":
            card = (
                await programme.manager.post(f"{programme.path}/cards", json=card_of(user))
            ).json()["id"]
            closing = await programme.manager.merge(
                f"{programme.path}/cards/{card}", {"status": "closed"}
            )
            assert closing.status_code == 200

        async def give(user: str = user) -> int:
            await asyncio.sleep(randomness.uniform(0, 0.01))
            return (
                await programme.manager.post(f"{programme.path}/cards", json=card_of(user))
            ).status_code

        async def delete(user: str = user) -> int:
            await asyncio.sleep(randomness.uniform(0, 0.01))
            return (await cast.admin.delete(f"/v1/users/{user}")).status_code

        given, deleted = await asyncio.gather(give(), delete())
        assert (given, deleted) in {(201, 409), (400, 200)}
        held = await Card.raw().count_documents({"userId": ObjectId(user)})
        assert held == (0 if deleted == 200 else 1 if status == "pending" else 2)
