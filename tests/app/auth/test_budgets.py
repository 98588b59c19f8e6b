"""Whom budgets count: one client, however its address is spelled."""

import asyncio
from datetime import timedelta

import pytest
from bson import ObjectId
from starlette.requests import Request

from app.auth.codes.budgets import client_of
from app.auth.codes.senders import Message, WebhookSender
from app.errors import Unavailable
from models import Budget, PhoneOtp
from models.base import now
from tests.app.auth.conftest import World
from tests.conftest import MakeApi
from tests.harness import Caller


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8::1", "2001:db8::/64"),
        ("unix", "unix"),
    ],
)
def test_a_client_is_an_ipv4_address_in_either_spelling_or_a_network_of_ipv6(
    address: str, client: str
) -> None:
    assert client_of(Request({"type": "http", "client": (address, 1)})) == client


@pytest.mark.usefixtures("database")
async def test_a_paced_budget_takes_its_burst_from_all_at_once_and_then_one_an_interval() -> None:
    interval = timedelta(minutes=2)
    paced = await asyncio.gather(*(Budget.pace("x", interval, 30) for _ in range(50)))
    refused = [each.until for each in paced if not each.counted]
    assert len(refused) == 20
    assert all(timedelta(0) < until - now() <= interval for until in refused)
    await Budget.raw().update_one(
        {"_id": "x"}, {"$set": {"expiresAt": refused[0] + interval * 29 - interval}}
    )
    assert (await Budget.pace("x", interval, 30)).counted
    assert not (await Budget.pace("x", interval, 30)).counted


@pytest.mark.usefixtures("database")
async def test_what_is_taken_from_a_budget_at_once_by_many_is_never_more_than_there_is() -> None:
    end = now() + timedelta(days=1)
    taken = await asyncio.gather(*(Budget.take("x", 5, 50, end) for _ in range(30)))
    assert taken.count(True) == 10
    await Budget.give_back("x", 4)
    assert await Budget.take("x", 5, 50, end) is False
    await Budget.give_back("x", 1)
    assert await Budget.take("x", 5, 50, end) is True
    assert await Budget.take("y", 5, 4, end) is False


@pytest.mark.usefixtures("database")
async def test_what_is_paid_back_is_what_time_has_not_paid_off_and_nobody_elses() -> None:
    interval = timedelta(hours=1)
    first, second, third = [await Budget.pace("x", interval, 2) for _ in range(3)]
    assert (first.counted, second.counted, third.counted) == (True, True, False)
    assert second.until - first.until == interval
    await Budget.pay_back("x", interval, second.until)
    again = await Budget.pace("x", interval, 2)
    assert again == second
    assert not (await Budget.pace("x", interval, 2)).counted
    await Budget.pay_back("x", interval, now() + interval / 2)  # time has paid off half of it
    row = await Budget.raw().find_one({"_id": "x"})
    assert (
        row is not None and timedelta(minutes=29) < again.until - row["expiresAt"] <= interval / 2
    )
    await Budget.pay_back("x", interval, now())
    await Budget.pay_back("nothing", interval, now() + interval)
    assert await Budget.raw().find_one({}) == row


async def asked(caller: Caller, *addresses: str) -> list[int]:
    answers = await asyncio.gather(
        *(caller.post("/v1/auth/otp", json={"email": each}) for each in addresses)
    )
    return sorted(answer.status_code for answer in answers)


async def test_refusals_spend_nothing_of_whoever_asks(make_api: MakeApi, world: World) -> None:
    world.api = await make_api(**{**world.settings, "otp_per_client_per_hour": 5})
    caller = world.nobody
    assert await asked(caller, "ann@example.com") == [202]
    for _ in range(4):
        assert await asked(caller, *["ann@example.com"] * 5) == [429] * 5  # too soon
    world.mailbox.down = True
    for _ in range(4):
        assert await asked(caller, *(f"x{n}@example.com" for n in range(3))) == [503] * 3
    world.mailbox.down = False
    assert await asked(caller, *(f"b{n}@example.com" for n in range(6))) == [202] * 4 + [429] * 2
    assert await PhoneOtp.raw().count_documents({}) == len(world.mailbox.messages) == 5


async def test_refusals_of_the_requester_and_of_the_service_give_back_everything(
    make_api: MakeApi, world: World
) -> None:
    world.api = await make_api(
        **{**world.settings, "otp_per_client_per_hour": 2, "otp_per_hour": 3}
    )
    assert await asked(world.nobody, "a@example.com", "b@example.com") == [202] * 2
    assert await asked(world.nobody, "ann@example.com") == [
        429
    ]  # the requester's are used up: not yet too soon
    there = world.at("10.1.1.1")
    assert await asked(there, "ann@example.com") == [202]
    assert (
        await asked(there, "c@example.com", "d@example.com", "e@example.com") == [429] * 3
    )  # the service's are
    await Budget.raw().delete_many({"_id": {"$regex": "^service:"}})
    assert await asked(world.at("10.1.1.1"), "c@example.com", "d@example.com") == [202, 429]
    assert await asked(world.nobody, "ann@example.com") == [429]


async def test_a_race_of_refused_and_sent_codes_sends_no_more_than_the_budget(
    make_api: MakeApi, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.api = await make_api(**{**world.settings, "otp_per_client_per_hour": 10})
    send = WebhookSender.send

    async def fails_for_some(self: WebhookSender, message: Message) -> None:
        if message.recipient.address.startswith("x"):
            raise Unavailable
        await send(self, message)

    monkeypatch.setattr(WebhookSender, "send", fails_for_some)
    for _ in range(3):
        some = [f"{'xa'[n % 2]}{ObjectId()}@example.com" for n in range(40)]
        found = await asked(world.nobody, *some, *some)
        assert set(found) <= {202, 429, 503}
    assert 5 <= len(world.mailbox.messages) <= 10
    rest = [f"b{n}@example.com" for n in range(20)]
    for address in rest:
        await asked(world.nobody, address)
    assert len(world.mailbox.messages) == 10


async def test_what_may_have_been_sent_counts_as_sent(make_api: MakeApi, world: World) -> None:
    world.api = await make_api(
        **{**world.settings, "otp_per_client_per_hour": 2, "otp_per_recipient_per_day": 1}
    )
    world.mailbox.answers = False
    assert await asked(world.nobody, "ann@example.com") == [503]
    assert await asked(world.nobody, "ann@example.com") == [429]
    assert (len(world.mailbox.messages), await PhoneOtp.raw().count_documents({})) == (1, 0)
    world.mailbox.answers = True
    await world.may_ask_again()
    assert await asked(world.nobody, "ann@example.com") == [202]
    assert world.mailbox.messages[0]["code"] != world.mailbox.messages[1]["code"]
    assert await asked(world.nobody, "bob@example.com") == [429]
