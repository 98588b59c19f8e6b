"""Teller's webhooks: timestamped signatures, several during rotation, three minutes, and what they
make due."""

import time
from typing import Any

import pytest

from models import connection as connections
from models.base import now, rfc3339
from models.connection import Connection
from models.transaction import Transaction
from tests.app.connections.conftest import TOKEN, World, stored, told
from tests.factories.bank_jobs import run_jobs
from tests.outside.teller import signed

PATH = "/v1/webhooks/teller"


def disconnected(world: World, **fields: Any) -> Any:
    payload = {
        "enrollment_id": world.banks.login(TOKEN).enrollment,
        "reason": "disconnected.account_locked",
    }
    return {
        "id": "wh_1",
        "payload": payload,
        "timestamp": rfc3339(now()),
        "type": "enrollment.disconnected",
        **fields,
    }


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


@pytest.mark.parametrize(
    "secrets", [("old-secret",), ("new-secret",), ("unknown", "new-secret"), ("old-secret", "x")]
)
async def test_any_of_the_signatures_by_any_of_our_secrets_will_do(
    world: World, secrets: tuple[str, ...]
) -> None:
    await synced(world)
    assert (await post(world, disconnected(world), *secrets)).status_code == 202
    assert await is_due()


@pytest.mark.parametrize("seconds", [-181, 185])
async def test_one_that_is_older_than_three_minutes_or_of_the_future_is_refused(
    world: World, seconds: int
) -> None:
    await synced(world)
    answer = await post(world, disconnected(world), "new-secret", at=time.time() + seconds)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert not await is_due()


async def test_forged_ones_are_refused(world: World) -> None:
    await synced(world)
    body, headers = signed(disconnected(world), "new-secret")
    good = headers["Teller-Signature"]
    moment = good.split(",")[0]
    bad = [
        "",
        "x",
        moment,
        f"{moment},v1=",
        f"{moment},v1={'0' * 64}",
        good.replace("t=", "t=1"),
        f"{good},t=1",
    ]
    bad += [
        good.replace("v1=", "v2="),
        "t=é,v1=x".encode("latin-1").decode("latin-1"),
        f"t={'9' * 400},v1=x",
    ]
    for header in bad:
        sent = {**headers, "Teller-Signature": header.encode("latin-1")}
        assert (await world.cast.nobody.post(PATH, content=body, headers=sent)).status_code == 401
    assert (
        await world.cast.nobody.post(PATH, content=body + b" ", headers=headers)
    ).status_code == 401
    assert (await world.cast.nobody.post(PATH, content=body)).status_code == 401
    assert not await is_due()


async def test_without_a_secret_in_the_settings_nothing_is_taken(
    world: World, make_api: Any
) -> None:
    api = await make_api(teller_webhook_secrets=[])
    body, headers = signed(disconnected(world), "")
    assert (await api.caller(None).post(PATH, content=body, headers=headers)).status_code == 401


async def test_new_transactions_make_the_connection_of_their_account_due(world: World) -> None:
    await synced(world)
    account_id = next(iter(world.banks.login(TOKEN).accounts))
    event = {
        "type": "transactions.processed",
        "payload": {"transactions": [{"id": "t", "account_id": account_id}]},
    }
    assert (
        await post(world, event | {"timestamp": rfc3339(now())}, "new-secret")
    ).status_code == 202
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
        {
            "type": "transactions.processed",
            "payload": {"transactions": [7, {"account_id": {"$gt": ""}}]},
        },
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


def processed(account_id: str, *transaction_ids: str) -> Any:
    rows = [{"id": transaction_id, "account_id": account_id} for transaction_id in transaction_ids]
    return {
        "type": "transactions.processed",
        "timestamp": rfc3339(now()),
        "payload": {"transactions": rows},
    }


async def names() -> Any:
    row = await Connection.raw().find_one({})
    assert row is not None
    return [each["providerId"] for each in row.get("named", [])]


async def test_named_transactions_of_before_the_window_are_stored_changed_and_removed(
    world: World,
) -> None:
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    for name in ("txn_amended", "txn_removed"):
        login.add(account_id, name, date="2026-01-03")
    await synced(world)
    login.add(account_id, "txn_late", date="2026-01-02")
    login.find(account_id, "txn_amended").update(amount="-9.99")
    login.remove(account_id, "txn_removed")
    event = processed(account_id, "txn_late", "txn_amended", "txn_removed", "txn_never", "txn_late")
    for _ in range(2):
        assert (await post(world, event, "new-secret")).status_code == 202
    assert len(await names()) == 4
    await run_jobs(world)
    assert await stored(world.banks) == told(world.banks)
    assert (await names(), await is_due()) == ([], False)


async def test_many_named_ones_are_asked_for_once_each_and_those_that_were_told_not_at_all(
    world: World,
) -> None:
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    await synced(world)
    old = [f"txn_old_{number:02}" for number in range(60)]
    for name in old:
        login.add(account_id, name, date="2026-01-02")
    login.add(account_id, "txn_today", date=now().date().isoformat())
    world.banks.server.asked.clear()
    await post(world, processed(account_id, *old, "txn_today"), "new-secret")
    await run_jobs(world)
    assert await stored(world.banks) == told(world.banks)
    asked = [
        each.path.rpartition("/")[2]
        for each in world.banks.server.asked
        if "/transactions/" in each.path
    ]
    assert sorted(asked) == old


async def test_what_is_named_while_the_person_has_to_sign_in_waits_for_it(world: World) -> None:
    connection_id = await synced(world)
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    await Connection.raw().update_one(
        {}, {"$set": {"status": "needs_reauth"}, "$unset": {"nextAttemptAt": ""}}
    )
    login.add(account_id, "txn_late", date="2026-01-02")
    await post(world, processed(account_id, "txn_late"), "new-secret")
    assert not await is_due()
    assert (await world.sync(connection_id)).status_code == 200
    assert await stored(world.banks) == told(world.banks)


async def test_a_named_one_that_cannot_be_read_is_set_aside(world: World) -> None:
    connection_id = await synced(world)
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    login.add(account_id, "txn_odd", date="2026-01-02", amount="1.005")
    await post(world, processed(account_id, "txn_odd"), "new-secret")
    await run_jobs(world)
    assert (await world.see(connection_id))["unreadableReasons"] == {"amount": 1}
    assert (await names(), await Transaction.raw().count_documents({})) == ([], 5)


async def test_where_more_are_named_than_are_kept_the_next_sync_reads_everything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_NAMED", 3)
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    await synced(world)
    late = [f"txn_late_{number}" for number in range(5)]
    for name in late:
        login.add(account_id, name, date="2026-01-02")
    await post(world, processed(account_id, *late), "new-secret")
    assert len(await names()) == 3
    await run_jobs(world)
    assert await stored(world.banks) == told(world.banks)


async def test_what_is_named_of_an_account_that_is_gone_is_forgotten(world: World) -> None:
    login = world.banks.login(TOKEN)
    other = login.add_account("Savings")
    await synced(world)
    del login.accounts[other]
    await post(world, processed(other, "txn_late"), "new-secret")
    await run_jobs(world)
    assert (await names(), await is_due()) == ([], False)
