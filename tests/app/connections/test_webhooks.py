"""Teller's webhooks: timestamped signatures, several during rotation, three minutes, and what they make due."""

import time
from typing import Any

import pytest

from models.base import now, rfc3339
from models.connection import Connection
from tests.app.connections.conftest import TOKEN, World
from tests.outside.teller import signed

PATH = "/v1/webhooks/teller"


def disconnected(world: World, **fields: Any) -> Any:
    payload = {"enrollment_id": world.banks.login(TOKEN).enrollment, "reason": "disconnected.account_locked"}
    return {"id": "wh_1", "payload": payload, "timestamp": rfc3339(now()), "type": "enrollment.disconnected", **fields}


async def post(world: World, event: Any, *secrets: str, **options: Any) -> Any:
    body, headers = signed(event, *secrets, **options)
    return await world.cast.nobody.post(PATH, content=body, headers=headers)


async def synced(world: World) -> str:
    """A connection that is not due for hours."""
    connection_id = await world.connect()
    await world.sync(connection_id)
    assert not await is_due()
    return connection_id


async def is_due() -> bool:
    return bool(await Connection.find_due(now(), 1))


@pytest.mark.parametrize("secrets", [("old-secret",), ("new-secret",), ("unknown", "new-secret"), ("old-secret", "x")])
async def test_any_of_the_signatures_by_any_of_our_secrets_will_do(world: World, secrets: tuple[str, ...]) -> None:
    await synced(world)
    assert (await post(world, disconnected(world), *secrets)).status_code == 202
    assert await is_due()


@pytest.mark.parametrize("seconds", [-181, 185])
async def test_one_that_is_older_than_three_minutes_or_of_the_future_is_refused(world: World, seconds: int) -> None:
    await synced(world)
    answer = await post(world, disconnected(world), "new-secret", at=time.time() + seconds)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert not await is_due()


async def test_forged_ones_are_refused(world: World) -> None:
    await synced(world)
    body, headers = signed(disconnected(world), "new-secret")
    good = headers["Teller-Signature"]
    moment = good.split(",")[0]
    bad = ["", "x", moment, f"{moment},v1=", f"{moment},v1={'0' * 64}", good.replace("t=", "t=1"), f"{good},t=1"]
    bad += [good.replace("v1=", "v2="), "t=é,v1=x".encode("latin-1").decode("latin-1"), f"t={'9' * 400},v1=x"]
    for header in bad:
        sent = {**headers, "Teller-Signature": header.encode("latin-1")}
        assert (await world.cast.nobody.post(PATH, content=body, headers=sent)).status_code == 401
    assert (await world.cast.nobody.post(PATH, content=body + b" ", headers=headers)).status_code == 401
    assert (await world.cast.nobody.post(PATH, content=body)).status_code == 401
    assert not await is_due()


async def test_without_a_secret_in_the_settings_nothing_is_taken(world: World, make_api: Any) -> None:
    api = await make_api(teller_webhook_secrets=[])
    body, headers = signed(disconnected(world), "")
    assert (await api.caller(None).post(PATH, content=body, headers=headers)).status_code == 401


async def test_new_transactions_make_the_connection_of_their_account_due(world: World) -> None:
    await synced(world)
    account_id = next(iter(world.banks.login(TOKEN).accounts))
    event = {"type": "transactions.processed", "payload": {"transactions": [{"id": "t", "account_id": account_id}]}}
    assert (await post(world, event | {"timestamp": rfc3339(now())}, "new-secret")).status_code == 202
    assert await is_due()


async def test_an_event_from_before_the_present_token_is_no_news(world: World) -> None:
    await synced(world)
    old = disconnected(world, timestamp="2026-01-01T00:00:00Z")
    assert (await post(world, old, "new-secret")).status_code == 202
    assert not await is_due()


@pytest.mark.parametrize(
    "event",
    [
        {"type": "webhook.test", "payload": {}},
        {"type": "enrollment.disconnected", "payload": {"enrollment_id": {"$gt": ""}}},
        {"type": "enrollment.disconnected", "payload": []},
        {"type": "transactions.processed", "payload": {"transactions": [7, {"account_id": {"$gt": ""}}]}},
        {"type": "transactions.processed", "payload": {"transactions": {"$gt": ""}}},
        {"type": ["x"], "payload": {"enrollment_id": "e"}, "timestamp": 7},
        [],
        7,
    ],
)
async def test_what_is_signed_and_odd_changes_nothing(world: World, event: Any) -> None:
    await synced(world)
    assert (await post(world, event, "new-secret")).status_code == 202
    assert not await is_due()
