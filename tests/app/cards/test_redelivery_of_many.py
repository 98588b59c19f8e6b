"""Delivering many events again: once, in order, and in steps that can be gone on with."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.cards import redelivery
from app.cards.delivery import deliver_due
from models.base import now, rfc3339
from models.card_event import CardEvent
from models.card_queue import CardQueue
from tests.app.cards.conftest import MakeSender
from tests.app.cards.receiver import Receiver
from tests.cast import Cast, Programme
from tests.factories.cards import a_card
from tests.factories.deliveries import opened_and_paused, states
from tests.harness import Caller

MANY = "/v1/admin/card-events/redeliver"


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redelivery, "BATCH", 3)


async def all_given_up(
    programme: Programme, receiver: Receiver, make_sender: MakeSender, cards: int = 2
) -> list[str]:
    """Some cards whose events were all given up: paths of the cards."""
    receiver.refuse()
    paths = [programme.card_path, *[await a_card(programme) for _ in range(cards - 1)]]
    for path in paths:
        await opened_and_paused(programme, path)
    await deliver_due(await make_sender(webhook_max_attempts=1))
    assert set(await states()) == {"dead"}
    receiver.refuse(lambda _: False)
    receiver.deliveries.clear()
    return paths


async def dead_by_subject() -> dict[str, list[str]]:
    """Ids of the events that were given up, those of each card in their order."""
    found: dict[str, list[str]] = {}
    async for row in CardEvent.raw().find({"state": "dead"}).sort("sequence", 1):
        found.setdefault(str(row["subject"]), []).append(str(row["_id"]))
    return found


def taken_by_subject(receiver: Receiver) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for delivery in receiver.taken:
        found.setdefault(delivery.subject, []).append(delivery.headers["webhook-id"])
    return found


async def redeliver_all(caller: Caller, body: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Every answer, `next` of each sent until there is none."""
    answers = []
    while body is not None:
        answer = await caller.post(MANY, json=body)
        assert answer.status_code == 200, answer.text
        answers.append(answer.json())
        assert len(answers) < 20
        body = answers[-1]["next"]
    return answers


@pytest.mark.usefixtures("small_batches")
async def test_many_are_delivered_again_once_and_in_each_cards_order_whatever_their_ids(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    await all_given_up(listened, receiver, make_sender)
    first = (await dead_by_subject())[listened.card][0]
    receiver.refuse()
    assert (await cast.admin.post(f"/v1/admin/card-events/{first}/redeliver")).status_code == 200
    await deliver_due(await make_sender(webhook_max_attempts=1))
    receiver.refuse(lambda _: False)
    given_up = await dead_by_subject()
    assert given_up[listened.card][-1] == first, "the oldest id has the last place"
    plan = (await cast.admin.get("/v1/admin/card-events/redelivery-plan")).json()
    assert plan["events"] == 9
    answers = await redeliver_all(cast.admin, plan["next"])
    assert [(each["redelivered"], each["gone"]) for each in answers] == [
        (3, 0),
        (3, 0),
        (3, 0),
        (0, 0),
    ]
    await deliver_due(await make_sender())
    assert taken_by_subject(receiver) == given_up
    assert set(await states()) == {"delivered"}


@pytest.mark.usefixtures("small_batches")
async def test_two_at_once_and_a_worker_beside_them_redeliver_each_event_once(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    await all_given_up(listened, receiver, make_sender, cards=3)
    given_up, each = await dead_by_subject(), await make_sender()
    working = True

    async def work() -> None:
        while working:
            await deliver_due(each)
            await asyncio.sleep(0.002)

    worker = asyncio.create_task(work())
    several = await asyncio.gather(*(redeliver_all(cast.admin, {}) for _ in range(3)))
    working = False
    await worker
    await deliver_due(each)
    total = sum(answer["redelivered"] for answers in several for answer in answers)
    assert total == sum(map(len, given_up.values())) == 14
    assert taken_by_subject(receiver) == given_up
    queues = {str(row["_id"]): row async for row in CardQueue.raw().find({})}
    assert [queues[subject]["waiting"] for subject in given_up] == [0, 0, 0]


@pytest.mark.usefixtures("small_batches")
async def test_what_is_given_up_again_meanwhile_is_not_taken_twice(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    await all_given_up(listened, receiver, make_sender)
    receiver.refuse()
    each, body, taken = await make_sender(webhook_max_attempts=1), {}, Counter[str]()
    for _ in range(4):
        answer = (await cast.admin.post(MANY, json=body)).json()
        taken.update([str(row["_id"]) async for row in CardEvent.raw().find({"state": "waiting"})])
        await deliver_due(each)
        if (body := answer["next"]) is None:
            break
    assert (body, set(taken.values()), len(taken)) == (None, {1}, 9)
    assert set(await states()) == {"dead"}


async def test_a_batch_that_is_asked_for_again_by_one_key_is_one(
    cast: Cast,
    listened: Programme,
    receiver: Receiver,
    make_sender: MakeSender,
    small_batches: None,
) -> None:
    await all_given_up(listened, receiver, make_sender)
    key = {"Idempotency-Key": "k"}
    asked = await asyncio.gather(*(cast.admin.post(MANY, json={}, headers=key) for _ in range(4)))
    done = [answer.json() for answer in asked if answer.status_code == 200]
    assert {answer.json()["code"] for answer in asked if answer.status_code != 200} <= {"in_flight"}
    repeat = await cast.admin.post(MANY, json={}, headers=key)
    assert (repeat.status_code, [*done, repeat.json()]) == (200, [done[0]] * (len(done) + 1))
    assert (done[0]["redelivered"], (await states()).count("waiting")) == (3, 3)
    other = await cast.admin.post(MANY, json=done[0]["next"], headers=key)
    assert other.json()["code"] == "key_reused"


@pytest.mark.usefixtures("small_batches")
async def test_what_is_gone_stays_dead_and_holds_up_nothing_that_comes_after_it(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    receiver.refuse()
    for name in ("A", "B", "C", "D"):
        await listened.manager.merge(listened.profile_path, {"name": name})
    await listened.manager.delete(listened.profile_path)
    await all_given_up(listened, receiver, make_sender)
    await CardQueue.raw().update_one({"_id": ObjectId(listened.card)}, {"$set": {"last": "amiss"}})
    answers = await redeliver_all(cast.admin, {})
    told = await deliver_due(await make_sender())
    gone, amiss = (
        4,
        await CardEvent.raw().count_documents(
            {"subject": ObjectId(listened.card), "state": "dead"}
        ),
    )
    assert told == 2
    assert (
        sum(answer["gone"] for answer in answers) == gone + amiss == await CardEvent.count_dead({})
    )
    assert [delivery.event["type"] for delivery in receiver.taken].count(
        "spending_profile.deleted"
    ) == 1
    assert await CardQueue.raw().find_one({"_id": ObjectId(listened.profile)}) is None


async def test_only_what_was_asked_for_is_redelivered(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    await all_given_up(listened, receiver, make_sender)
    early, late = [row["_id"] async for row in CardEvent.raw().find({}).sort("_id", 1).limit(2)]
    for each, days in ((early, 20), (late, 10)):
        at = now() - timedelta(days=days)
        await CardEvent.raw().update_one({"_id": each}, {"$set": {"updatedAt": at}})
    span = {"from": rfc3339(now() - timedelta(days=15)), "to": rfc3339(now() - timedelta(days=5))}
    plan = "/v1/admin/card-events/redelivery-plan"
    assert (await cast.admin.get(plan, params=span)).json()["events"] == 1
    for which in ({"accountId": listened.elsewhere}, {"accountId": str(ObjectId())}):
        assert (await cast.admin.get(plan, params=which)).json()["events"] == 0
        assert (await redeliver_all(cast.admin, which))[0]["redelivered"] == 0
    assert set(await states()) == {"dead"}
    assert (await redeliver_all(cast.admin, {**span, "accountId": listened.account}))[0][
        "redelivered"
    ] == 1
    waiting = await CardEvent.raw().find({"state": "waiting"}).to_list()
    assert [row["_id"] for row in waiting] == [late]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"}, "/from"),
        ({"state": "waiting"}, "/state"),
        ({"accountId": "acme"}, "/accountId"),
        (
            {
                "accountId": "a" * 24,
                "after": {"accountId": "b" * 24, "subject": "c" * 24, "sequence": 1},
            },
            "/after/accountId",
        ),
        (
            {"after": {"accountId": "b" * 24, "subject": "c" * 24, "sequence": 2**63}},
            "/after/sequence",
        ),
    ],
)
async def test_a_redelivery_that_makes_no_sense_is_refused(
    cast: Cast, body: dict[str, Any], pointer: str
) -> None:
    refused = await cast.admin.post(MANY, json=body)
    assert (refused.status_code, [error["pointer"] for error in refused.json()["errors"]]) == (
        422,
        [pointer],
    )


async def test_a_redelivery_beside_the_deletion_of_the_account_leaves_no_queue_behind(
    cast: Cast,
) -> None:
    for _ in range(4):
        account = (await cast.admin.post("/v1/accounts", json={"name": "Acme"})).json()["id"]
        for _ in range(3):
            told: Any = {
                "account_id": ObjectId(account),
                "subject": ObjectId(),
                "sequence": 7,
                "state": "dead",
            }
            await CardEvent(type="spending_profile.deleted", **told).add()
        again, gone = await asyncio.gather(
            cast.admin.post(MANY, json={"accountId": account}),
            cast.admin.delete(f"/v1/accounts/{account}"),
        )
        assert (again.status_code, gone.status_code) == (200, 200)
        assert await CardQueue.raw().count_documents({"accountId": ObjectId(account)}) == 0
        assert await CardEvent.raw().count_documents({"accountId": ObjectId(account)}) == 0
