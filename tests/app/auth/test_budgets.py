"""Whom budgets count: one client, however its address is spelled."""

import asyncio
from datetime import timedelta

import pytest
from starlette.requests import Request

from app.auth.budgets import client_of
from models import Budget
from models.base import now


@pytest.mark.parametrize(
    ("address", "client"),
    [("1.2.3.4", "1.2.3.4"), ("::ffff:1.2.3.4", "1.2.3.4"), ("2001:db8::1", "2001:db8::/64"), ("unix", "unix")],
)
def test_a_client_is_an_ipv4_address_in_either_spelling_or_a_network_of_ipv6(address: str, client: str) -> None:
    assert client_of(Request({"type": "http", "client": (address, 1)})) == client


@pytest.mark.usefixtures("database")
async def test_a_paced_budget_takes_its_burst_from_all_at_once_and_then_one_an_interval() -> None:
    interval = timedelta(minutes=2)
    untils = await asyncio.gather(*(Budget.pace("x", interval, 30) for _ in range(50)))
    refused = [until for until in untils if until is not None]
    assert len(refused) == 20
    assert all(timedelta(0) < until - now() <= interval for until in refused)
    await Budget.raw().update_one({"_id": "x"}, {"$set": {"expiresAt": refused[0] + interval * 29 - interval}})
    assert await Budget.pace("x", interval, 30) is None
    assert await Budget.pace("x", interval, 30) is not None


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
