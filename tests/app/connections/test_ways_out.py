"""No state of a connection is without a way out: lost pages, hints during a sync, logins repaired
or replaced."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.connections import sync as syncing
from app.connections.syncs import sync_due
from app.work import handlers
from models.base import now, rfc3339
from models.connection import Connection
from models.outside_link import OutsideLink
from tests.app.connections.conftest import TOKEN, World, stored, told
from tests.factories.bank_jobs import run_jobs
from tests.factories.banks import Died, dying
from tests.outside.server import Asked, Told
from tests.outside.teller import MFA, Login, error, signed


def answer_pages_with(world: World, fault: Told, times: int) -> None:
    """Answer the next requests for a further page so, and all others as ever."""
    serve, left = world.banks.server.serve, [fault] * times

    def answer(asked: Asked) -> Told:
        return left.pop() if left and "from_id" in asked.query else serve(asked)

    world.banks.server.serve = answer


async def break_in_the_middle(world: World, fault: Told, times: int = 1) -> tuple[str, Any]:
    """A connection whose sync stored a page, and its answer when the next one failed so."""
    world.banks.page = 2
    connection_id = await world.connect()
    answer_pages_with(world, fault, times)
    return connection_id, await world.sync(connection_id)


async def test_pages_that_were_lost_too_often_begin_a_fresh_pass(world: World) -> None:
    connection_id, answer = await break_in_the_middle(world, error(404, "not_found"), 4)
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_unavailable")
    row = await Connection.raw().find_one({"_id": ObjectId(connection_id)})
    assert row is not None
    assert "cursor" not in row
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    login.remove(account_id, "txn_3")
    assert (await world.sync(connection_id)).json()["state"] == "done"
    assert await stored(world.banks) == told(world.banks)


async def test_a_cursor_that_cannot_be_read_begins_a_fresh_pass(world: World) -> None:
    connection_id = await world.connect()
    for cursor in ("{", '{"other": 1}', "[]"):
        await Connection.raw().update_one({}, {"$set": {"cursor": cursor}})
        assert (await world.sync(connection_id)).json()["state"] == "done"
    assert await stored(world.banks) == told(world.banks)


async def test_a_login_that_is_repaired_in_the_middle_of_a_sync_is_connected_when_it_goes_on(
    world: World,
) -> None:
    connection_id, answer = await break_in_the_middle(world, MFA)
    assert answer.status_code == 409
    assert (
        answer.json()["detail"] == "Your connection to Bank (Personal) needs to be signed in again"
    )
    assert (await world.see(connection_id))["status"] == "needs_reauth"
    done = (await world.sync(connection_id)).json()
    assert (done["state"], done["connection"]["status"], done["connection"]["statusReason"]) == (
        "done",
        "connected",
        None,
    )
    assert await stored(world.banks) == told(world.banks)


async def test_a_webhook_during_a_sync_has_another_one_follow(world: World) -> None:
    connection_id = await world.connect()
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    await world.sync(connection_id)
    today = now().date().isoformat()
    login.add(account_id, "txn_of_today", date=today)
    serve = world.banks.server.serve

    def answer(asked: Asked) -> Told:
        answered = serve(asked)
        if asked.path.endswith("/transactions"):  # what it has read is what there was before
            gate.set_result(world.banks.server.next_request_is_held())
            world.banks.server.serve = serve
        return answered

    gate: asyncio.Future[asyncio.Event] = asyncio.get_running_loop().create_future()
    world.banks.server.serve = answer
    running = asyncio.ensure_future(world.sync(connection_id))
    held = await gate
    await world.banks.server.held.wait()
    login.add(account_id, "txn_new", date=today)
    payload = {"transactions": [{"id": "txn_new", "account_id": account_id}]}
    event = {"type": "transactions.processed", "timestamp": rfc3339(now()), "payload": payload}
    body, headers = signed(event, "new-secret")
    assert (
        await world.cast.nobody.post("/v1/webhooks/teller", content=body, headers=headers)
    ).status_code == 202
    held.set()
    assert (await running).status_code == 200
    assert await Connection.find_due(now(), 1) == [ObjectId(connection_id)]
    await run_jobs(world)
    assert await stored(world.banks) == told(world.banks)
    assert await Connection.find_due(now(), 1) == []


async def test_the_same_login_is_connected_once_and_the_answer_names_where(world: World) -> None:
    first = await world.connect()
    body = {"provider": "teller", "institution": "Bank", "label": "Again", "accessToken": TOKEN}
    answer = await world.cast.owner.post("/v1/users/me/connections", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["connectionId"]) == (
        409,
        "duplicate",
        first,
    )
    calls = [world.cast.stranger.post("/v1/users/me/connections", json=body) for _ in range(4)]
    assert sorted([each.status_code for each in await asyncio.gather(*calls)]) == [
        201,
        409,
        409,
        409,
    ]
    world.banks.logins["other"] = Login("enr_other")
    world.banks.login("other").add_account("Savings")
    second = await world.connect("other", label="Other")
    taken = await world.cast.owner.merge(f"/v1/connections/{second}", {"accessToken": TOKEN})
    assert (taken.status_code, taken.json()["connectionId"]) == (409, first)


async def test_a_login_that_another_replaced_is_given_up_at_the_provider(world: World) -> None:
    connection_id = await world.connect()
    world.banks.logins["other"] = Login("enr_other")
    world.banks.login("other").add_account("Savings")
    answer = await world.cast.owner.merge(
        f"/v1/connections/{connection_id}", {"accessToken": "other"}
    )
    assert answer.status_code == 200
    assert await OutsideLink.raw().count_documents({}) == 1
    assert "remove-bank-links" in handlers(world.api.settings)
    await run_jobs(world)
    assert (world.banks.login(TOKEN).deleted, world.banks.login("other").deleted) == (True, False)
    assert await OutsideLink.raw().count_documents({}) == 0


async def test_a_new_token_of_the_same_login_gives_nothing_up(world: World) -> None:
    connection_id = await world.connect()
    world.banks.logins["fresh"] = world.banks.login(TOKEN)
    answer = await world.cast.owner.merge(
        f"/v1/connections/{connection_id}", {"accessToken": "fresh"}
    )
    assert answer.status_code == 200
    assert await OutsideLink.raw().count_documents({}) == 0


async def test_a_sync_after_a_repair_that_is_killed_is_gone_on_with(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_id = await world.connect()
    await world.sync(connection_id)
    login = world.banks.login(TOKEN)
    login.error = MFA
    assert (await world.sync(connection_id)).status_code == 409
    login.error = None
    with monkeypatch.context() as patch:
        patch.setattr(syncing, "transaction", dying(1, after=False))
        with pytest.raises(Died):
            await sync_due(ObjectId(connection_id), world.api.settings, world.api.app.state.keyring)
    assert (await world.see(connection_id))["status"] == "connected"
    assert await Connection.find_due(now() + timedelta(minutes=2), 1) == [ObjectId(connection_id)]
