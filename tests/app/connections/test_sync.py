"""Syncing: exactly the provider's rows, whatever moves, changes or goes in between."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId

from models.bank_account import BankAccount
from models.base import now
from models.connection import Connection
from models.job import Job
from models.transaction import Transaction
from tests.app.connections.conftest import TOKEN, World, stored, told
from tests.factories.bank_jobs import run_jobs
from tests.outside.server import Told
from tests.outside.teller import MFA, REVOKED, error


async def test_first_sync_stores_accounts_balances_and_transactions(world: World) -> None:
    connection_id = await world.connect()
    before = await world.see(connection_id)
    assert (before["status"], before["lastSyncAt"]) == ("connected", None)
    answer = await world.sync(connection_id)
    assert (answer.status_code, answer.json()["state"]) == (200, "done")
    assert await stored(world.banks) == told(world.banks)
    (account,) = (await world.cast.owner.get(f"/v1/connections/{connection_id}/accounts")).json()[
        "items"
    ]
    assert (account["name"], account["balance"], account["currency"]) == ("Checking", 10050, "USD")
    assert (await world.see(connection_id))["lastSyncAt"] is not None


async def test_transactions_are_listed_newest_first_page_by_page_and_by_date_and_status(
    world: World,
) -> None:
    connection_id = await world.connect()
    login = world.banks.login(TOKEN)
    account_id = next(iter(login.accounts))
    login.add(account_id, "txn_p", date="2026-11-12", status="pending", amount="3.10")
    await world.sync(connection_id)
    (account,) = (await world.cast.owner.get(f"/v1/connections/{connection_id}/accounts")).json()[
        "items"
    ]
    path = f"/v1/bank-accounts/{account['id']}/transactions"
    first = (await world.cast.owner.get(path, params={"limit": 4})).json()
    second = (
        await world.cast.owner.get(path, params={"limit": 4, "cursor": first["nextCursor"]})
    ).json()
    dates = [item["date"] for item in first["items"] + second["items"]]
    assert dates == sorted(dates, reverse=True)
    assert len(dates) == 6
    assert second["nextCursor"] is None
    pending = (await world.cast.owner.get(path, params={"status": "pending"})).json()["items"]
    assert [(item["providerId"], item["amount"]) for item in pending] == [("txn_p", 310)]
    span = (
        await world.cast.owner.get(path, params={"from": "2026-11-11", "to": "2026-11-13"})
    ).json()["items"]
    assert {item["providerId"] for item in span} == {"txn_1", "txn_2", "txn_p"}
    assert (await world.cast.owner.get(path, params={"from": "2026-13-01"})).status_code == 422


async def test_pages_are_followed_to_the_empty_one(world: World) -> None:
    world.banks.page = 2
    connection_id = await world.connect()
    await world.sync(connection_id)
    assert await stored(world.banks) == told(world.banks)
    pages = [asked for asked in world.banks.server.asked if asked.path.endswith("/transactions")]
    assert [asked.query.get("from_id") for asked in pages] == [None, "txn_3", "txn_1", "txn_0"]


async def test_pending_ones_that_post_change_their_id_or_go_are_followed(world: World) -> None:
    connection_id = await world.connect()
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    login.add(account_id, "txn_same", date="2026-11-13", status="pending")
    login.add(account_id, "txn_renamed", date="2026-11-13", status="pending")
    login.add(account_id, "txn_gone", date="2026-11-14", status="pending")
    await world.sync(connection_id)
    kept = await Transaction.raw().find_one({"providerId": "txn_same"})
    login.find(account_id, "txn_same").update(status="posted", date="2026-11-15", amount="-13.00")
    login.remove(account_id, "txn_renamed")
    login.add(account_id, "txn_posted", date="2026-11-15")
    login.remove(account_id, "txn_gone")
    await world.sync(connection_id)
    assert await stored(world.banks) == told(world.banks)
    after = await Transaction.raw().find_one({"providerId": "txn_same"})
    assert kept is not None and after is not None
    assert (after["_id"], after["version"], after["amount"]) == (kept["_id"], 2, -1300)


async def test_a_pending_one_of_long_ago_that_went_is_noticed_by_a_sync_of_some_days(
    world: World,
) -> None:
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    login.add(account_id, "txn_old", date="2026-01-02", status="pending")
    connection_id = await world.connect()
    await world.sync(connection_id)
    login.remove(account_id, "txn_old")
    await world.sync(connection_id)
    assert await stored(world.banks) == told(world.banks)


async def test_the_second_sync_reads_some_days_and_a_later_one_everything(world: World) -> None:
    connection_id = await world.connect()
    await world.sync(connection_id)
    world.banks.server.asked.clear()
    await world.sync(connection_id)
    starts = [
        asked.query.get("start_date")
        for asked in world.banks.server.asked
        if "transactions" in asked.path
    ]
    assert all(start is not None for start in starts)
    old = {"$set": {"fullSyncAt": now().replace(year=2020)}}
    await Connection.raw().update_one({}, old)
    world.banks.server.asked.clear()
    await world.sync(connection_id)
    starts = [
        asked.query.get("start_date")
        for asked in world.banks.server.asked
        if "transactions" in asked.path
    ]
    assert set(starts) == {None}


async def test_an_account_that_is_told_no_more_is_closed_and_keeps_its_history(
    world: World,
) -> None:
    login = world.banks.login(TOKEN)
    other = login.add_account("Savings")
    login.add(other, "txn_s")
    connection_id = await world.connect()
    await world.sync(connection_id)
    del login.accounts[other]
    await world.sync(connection_id)
    accounts = (await world.cast.owner.get(f"/v1/connections/{connection_id}/accounts")).json()[
        "items"
    ]
    assert {account["name"]: account["status"] for account in accounts} == {
        "Checking": "open",
        "Savings": "closed",
    }
    assert await Transaction.raw().count_documents({"providerId": "txn_s"}) == 1


async def test_unchanged_transactions_keep_their_version(world: World) -> None:
    connection_id = await world.connect()
    await world.sync(connection_id)
    await world.sync(connection_id)
    assert await Transaction.raw().distinct("version") == [1]
    assert await BankAccount.raw().distinct("version") == [1]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (error(429, "too_many_requests", **{"Retry-After": "77"}), "rate_limited"),
        (error(500, "internal"), "server_error"),
        (error(502, "bad_gateway"), "server_error"),
        (Told(200, {"accounts": []}), "malformed_answer"),
        (Told(200, raw=b"<html>"), "malformed_answer"),
        (Told(302, headers={"Location": "http://127.0.0.1/"}), "redirected"),
        (Told(200, [], raw=b"[" + b" " * 100 + b"]", cut=True), "unreachable"),
        (Told(200, [], raw=b"[" + b" " * 100 + b"]", hang=True), "timeout"),
    ],
)
async def test_what_is_over_by_itself_moves_the_next_attempt_alone(
    world: World, fault: Told, reason: str
) -> None:
    connection_id = await world.connect()
    before = await world.see(connection_id)
    world.banks.server.faults.append(fault)
    answer = await world.sync(connection_id)
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable")
    assert reason in answer.json()["detail"]
    after = await world.see(connection_id)
    moved = {name for name in before if before[name] != after[name]}
    assert moved == {"nextAttemptAt", "version", "updatedAt"}
    assert after["nextAttemptAt"] > before["nextAttemptAt"]
    if "Retry-After" in fault.headers:
        assert answer.headers["retry-after"] == "77"
    assert (await world.sync(connection_id)).status_code == 200
    assert await stored(world.banks) == told(world.banks)


async def test_a_login_that_expired_needs_a_new_one_and_the_history_stays(world: World) -> None:
    connection_id = await world.connect()
    await world.sync(connection_id)
    login = world.banks.login(TOKEN)
    login.error = MFA
    answer = await world.sync(connection_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "needs_reauth")
    seen = await world.see(connection_id)
    assert (seen["status"], seen["statusReason"], seen["nextAttemptAt"]) == (
        "needs_reauth",
        "mfa_required",
        None,
    )
    assert await Transaction.raw().count_documents({}) == 5
    world.banks.logins["test_token_second"] = login
    path = f"/v1/connections/{connection_id}"
    refused = await world.cast.owner.merge(path, {"accessToken": "test_token_second"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/accessToken")
    assert (await world.see(connection_id))["status"] == "needs_reauth"
    login.error = None
    again = await world.cast.owner.merge(path, {"accessToken": "test_token_second"})
    assert (again.status_code, again.json()["status"]) == (200, "connected")
    del world.banks.logins[TOKEN]
    accounts = await BankAccount.raw().distinct("_id")
    assert (await world.sync(connection_id)).status_code == 200
    assert await BankAccount.raw().distinct("_id") == accounts


async def test_a_repaired_login_is_connected_again_by_a_sync_that_works(world: World) -> None:
    connection_id = await world.connect()
    login = world.banks.login(TOKEN)
    login.error = MFA
    await world.sync(connection_id)
    world.banks.server.faults.append(error(500, "internal"))
    assert (await world.sync(connection_id)).status_code == 503
    assert (await world.see(connection_id))["status"] == "needs_reauth"
    login.error = None
    assert (await world.sync(connection_id)).json()["connection"]["status"] == "connected"


async def test_a_revoked_token_is_erased_at_once(world: World) -> None:
    connection_id = await world.connect()
    await world.sync(connection_id)
    world.banks.login(TOKEN).error = REVOKED
    answer = await world.sync(connection_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "disconnected")
    row = await Connection.raw().find_one({})
    assert row is not None
    assert (row["status"], row["statusReason"], "accessToken" in row) == (
        "disconnected",
        "revoked",
        False,
    )
    assert (await world.sync(connection_id)).json()["code"] == "disconnected"


async def test_two_syncs_at_once_one_runs_and_the_other_is_told_of_it(world: World) -> None:
    connection_id = await world.connect()
    gate = world.banks.server.next_request_is_held()
    first = asyncio.ensure_future(world.sync(connection_id))
    await world.banks.server.held.wait()
    second = await world.sync(connection_id)
    assert (second.status_code, second.json()["code"]) == (409, "sync_running")
    assert set(second.json()["running"]) == {"startedAt", "until", "pages", "rows"}
    gate.set()
    assert (await first).status_code == 200
    assert await stored(world.banks) == told(world.banks)


async def test_many_syncs_at_once_exactly_one_runs(world: World) -> None:
    connection_id = await world.connect()
    gate = world.banks.server.next_request_is_held()
    calls = [asyncio.ensure_future(world.sync(connection_id)) for _ in range(8)]
    await world.banks.server.held.wait()
    while sum(call.done() for call in calls) < 7:
        await asyncio.sleep(0)
    gate.set()
    statuses = sorted([(await call).status_code for call in calls])
    assert statuses == [200] + [409] * 7


async def test_a_sync_whose_lease_was_lost_writes_no_more(world: World) -> None:
    connection_id = await world.connect()
    gate = world.banks.server.next_request_is_held()
    first = asyncio.ensure_future(world.sync(connection_id))
    await world.banks.server.held.wait()
    await Connection.raw().update_one({}, {"$set": {"running.until": now().replace(year=2020)}})
    assert (await world.sync(connection_id)).status_code == 200
    rows = await Transaction.raw().find({}).to_list()
    gate.set()
    await first
    assert await Transaction.raw().find({}).to_list() == rows


async def test_a_sync_goes_on_where_its_time_was_over(world: World) -> None:
    connection_id = await world.connect()
    world.banks.page = 2
    short = world.api.settings.model_copy(update={"sync_inline_seconds": 0.0})
    world.api.app.state.settings = short
    states = [(await world.sync(connection_id)).json()["state"]]
    assert states == ["continues"]
    await run_jobs(world)
    assert await stored(world.banks) == told(world.banks)
    assert (await world.see(connection_id))["lastSyncAt"] is not None


async def test_the_worker_syncs_what_is_due_and_nothing_else(world: World) -> None:
    connection_id = await world.connect()
    await run_jobs(world)
    assert await stored(world.banks) == told(world.banks)
    seen = await world.see(connection_id)
    assert seen["nextAttemptAt"] > seen["lastSyncAt"]
    world.banks.server.asked.clear()
    await Job.raw().update_many({}, {"$set": {"runAt": now()}})
    await run_jobs(world)
    assert world.banks.server.asked == []


async def test_a_token_that_does_not_open_needs_a_new_login(world: World) -> None:
    connection_id = await world.connect()
    row: Any = await Connection.raw().find_one({"_id": ObjectId(connection_id)})
    cut = row["accessToken"]["c"][:-1]
    await Connection.raw().update_one({"_id": row["_id"]}, {"$set": {"accessToken.c": cut}})
    answer = await world.sync(connection_id)
    assert (answer.status_code, answer.json()["statusReason"]) == (409, "token_unreadable")
