"""After a new login with other ids an account is the one of before, with its history, or the person
is asked."""

from typing import Any

import pytest
from bson import ObjectId

from models.bank_account import BankAccount
from models.base import now
from models.connection import Connection
from models.transaction import Transaction
from tests.app.connections.conftest import TOKEN, World, stored, told
from tests.factories.bank_jobs import run_jobs
from tests.outside.teller import Login

OTHER = "test_token_of_a_new_login"


def renewed(world: World, **fields: Any) -> Login:
    """The login as the provider tells it after a new enrollment: other ids, else the same but for
    some fields."""
    world.banks.logins[OTHER] = world.banks.login(TOKEN).renew("new_", **fields)
    return world.banks.logins[OTHER]


async def relink(world: World, connection_id: str) -> Any:
    """The person signs in anew, and the next sync; what the connection is then."""
    answer = await world.cast.owner.merge(
        f"/v1/connections/{connection_id}", {"accessToken": OTHER}
    )
    assert answer.status_code == 200, answer.text
    return await synced(world, connection_id)


async def synced(world: World, connection_id: str) -> Any:
    answer = await world.sync(connection_id)
    assert (answer.status_code, answer.json()["state"]) == (200, "done"), answer.text
    return answer.json()["connection"]


async def read_all(world: World, connection_id: str) -> Any:
    await Connection.raw().update_many({}, {"$unset": {"fullSyncAt": ""}})
    return await synced(world, connection_id)


async def ids_of(document: Any) -> dict[Any, Any]:
    """Ids by what the person sees of a row."""
    rows = await document.raw().find({}).to_list()
    return {(row.get("name"), row.get("date"), row.get("description")): row["_id"] for row in rows}


async def connected(world: World) -> str:
    connection_id = await world.connect()
    await synced(world, connection_id)
    return connection_id


async def decide(world: World, connection_id: str, provider_id: str, account_id: Any) -> Any:
    body = {
        "providerId": provider_id,
        "bankAccountId": None if account_id is None else str(account_id),
    }
    return await world.cast.owner.post(f"/v1/connections/{connection_id}/decisions", json=body)


@pytest.mark.parametrize("page", [200, 2])
@pytest.mark.parametrize("same_rows", [False, True])
async def test_accounts_and_transactions_keep_their_ids_and_nothing_is_doubled(
    world: World, page: int, same_rows: bool
) -> None:
    world.banks.page = page
    login = world.banks.login(TOKEN)
    other = login.add_account("Savings", last_four="9999")
    login.add(other, "txn_s", description="saved")
    connection_id = await connected(world)
    accounts, rows = await ids_of(BankAccount), await ids_of(Transaction)
    renewed(world, same_rows=same_rows)
    seen = await relink(world, connection_id)
    assert "undecided" not in seen
    for _ in range(2):
        assert await stored(world.banks) == told(world.banks, OTHER)
        assert await ids_of(BankAccount) == accounts
        assert await ids_of(Transaction) == rows
        await read_all(world, connection_id)
    row: Any = await BankAccount.raw().find_one({"name": "Savings"})
    listed = await world.cast.owner.get(
        f"/v1/bank-accounts/{accounts['Savings', None, None]}/transactions"
    )
    assert (row["link"], [each["description"] for each in listed.json()["items"]]) == (1, ["saved"])


async def test_rows_alike_are_as_many_as_the_bank_has(world: World) -> None:
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    for number in range(3):
        login.add(account_id, f"txn_coffee_{number}", date="2026-11-12", description="coffee")
    connection_id = await connected(world)
    before = set(await Transaction.raw().distinct("_id"))
    renewed(world)
    await relink(world, connection_id)
    assert await stored(world.banks) == told(world.banks, OTHER)
    assert set(await Transaction.raw().distinct("_id")) == before


async def test_history_of_before_what_a_new_login_tells_stays_and_the_rest_is_the_banks(
    world: World,
) -> None:
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    login.add(account_id, "txn_pending", date="2026-11-01", status="pending")
    connection_id = await connected(world)
    new = renewed(world)
    new_id = f"new_{account_id}"
    for name in ("txn_pending", "txn_0", "txn_1"):  # it reaches back less far
        new.remove(new_id, f"new_{name}")
    new.remove(new_id, "new_txn_3")
    new.find(new_id, "new_txn_4").update(description="told otherwise")
    new.add(new_id, "new_txn_5", date="2026-11-15")
    kept = await Transaction.raw().find({"providerId": {"$in": ["txn_0", "txn_1"]}}).to_list()
    await relink(world, connection_id)
    for _ in range(2):
        here = {row["providerId"]: row for row in await Transaction.raw().find({}).to_list()}
        assert set(here) == {"txn_0", "txn_1", "new_txn_2", "new_txn_4", "new_txn_5"}
        assert [here["txn_0"], here["txn_1"]] == sorted(
            kept, key=lambda row: str(row["providerId"])
        )
        await read_all(world, connection_id)


async def test_what_a_new_login_tells_later_of_long_ago_is_what_was_there(world: World) -> None:
    connection_id = await connected(world)
    before = await ids_of(Transaction)
    new = renewed(world)
    (new_id,) = new.accounts
    whole = list(new.ledgers[new_id])
    for told_now in ([], whole[:2], whole):
        new.ledgers[new_id] = list(told_now)
        if not told_now:
            await relink(world, connection_id)
        await read_all(world, connection_id)
        assert await ids_of(Transaction) == before
    assert await stored(world.banks) == told(world.banks, OTHER)


async def test_an_account_is_relinked_again_and_again(world: World) -> None:
    connection_id = await connected(world)
    accounts, rows = await ids_of(BankAccount), await ids_of(Transaction)
    renewed(world)
    await relink(world, connection_id)
    answer = await world.cast.owner.merge(
        f"/v1/connections/{connection_id}", {"accessToken": TOKEN}
    )
    assert answer.status_code == 200
    world.banks.login(TOKEN).deleted = False
    await synced(world, connection_id)
    assert await stored(world.banks) == told(world.banks)
    assert (await ids_of(BankAccount), await ids_of(Transaction)) == (accounts, rows)
    assert await BankAccount.raw().distinct("link") == [2]


async def test_the_login_that_was_replaced_is_given_up_at_the_provider(world: World) -> None:
    connection_id = await connected(world)
    renewed(world)
    await relink(world, connection_id)
    await run_jobs(world)
    assert (world.banks.login(TOKEN).deleted, world.banks.login(OTHER).deleted) == (True, False)


async def test_another_bank_is_another_account(world: World) -> None:
    connection_id = await connected(world)
    renewed(world, institution={"id": "another_bank"})
    await relink(world, connection_id)
    rows = await BankAccount.raw().find({}).sort("status", 1).to_list()
    assert [(row["status"], row["providerId"][:3]) for row in rows] == [
        ("closed", "acc"),
        ("open", "new"),
    ]
    assert await stored(world.banks) == told(world.banks, OTHER)
    assert await Transaction.raw().count_documents({}) == 10


async def ambiguous(world: World) -> tuple[str, dict[str, Any]]:
    """A connection after a new login, two of whose accounts are called alike and tell no digits;
    ours by theirs."""
    login = world.banks.login(TOKEN)
    (first,) = login.accounts
    login.accounts[first]["last_four"] = None
    second = login.add_account("Checking", last_four=None)
    login.add(login.add_account("Savings", last_four="9999"), "txn_s")
    login.add(second, "txn_second")
    connection_id = await connected(world)
    ours = {row["providerId"]: row["_id"] for row in await BankAccount.raw().find({}).to_list()}
    renewed(world)
    seen = await relink(world, connection_id)
    assert [each["providerId"] for each in seen["undecided"]] == [f"new_{first}", f"new_{second}"]
    assert seen["undecided"][0]["candidates"] == sorted([str(ours[first]), str(ours[second])])
    assert seen["status"] == "connected"
    return connection_id, ours


async def test_who_may_be_two_is_asked_for_and_the_rest_is_synced(world: World) -> None:
    connection_id, ours = await ambiguous(world)
    first, second, savings = ours
    assert await Transaction.raw().count_documents({}) == 7
    assert list(await stored(world.banks)) == [f"new_{savings}"]
    await read_all(world, connection_id)
    assert await Transaction.raw().count_documents({}) == 7, "nothing is doubled while it is open"
    answer = await decide(world, connection_id, f"new_{second}", ours[second])
    assert (answer.status_code, answer.json()["id"], answer.json()["status"]) == (
        200,
        str(ours[second]),
        "open",
    )
    (left,) = (await world.see(connection_id))["undecided"]
    assert left["candidates"] == [str(ours[first])]
    assert (await decide(world, connection_id, f"new_{first}", ours[first])).status_code == 200
    assert await Connection.find_due(now(), 1) == [ObjectId(connection_id)]
    await run_jobs(world)
    assert "undecided" not in await world.see(connection_id)
    assert await stored(world.banks) == told(world.banks, OTHER)
    assert {
        row["providerId"]: row["_id"] for row in await BankAccount.raw().find({}).to_list()
    } == {f"new_{name}": key for name, key in ours.items()}


async def test_none_of_them_is_a_new_account(world: World) -> None:
    connection_id, ours = await ambiguous(world)
    first, second, _ = ours
    answers = [
        await decide(world, connection_id, f"new_{name}", None) for name in (first, second, second)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[1].json()["id"] == answers[2].json()["id"]
    await run_jobs(world)
    assert await stored(world.banks) == told(world.banks, OTHER)
    assert await BankAccount.raw().count_documents({"status": "closed"}) == 2
    assert await Transaction.raw().count_documents({}) == 7 + 6


async def test_only_what_is_asked_can_be_decided_and_once(world: World) -> None:
    connection_id, ours = await ambiguous(world)
    first, second, savings = ours
    for provider_id, account_id, pointer in (
        ("unknown", None, "/providerId"),
        (f"new_{first}", ours[savings], "/bankAccountId"),
        (f"new_{first}", ObjectId(), "/bankAccountId"),
        (f"new_{first}", "nonsense", "/bankAccountId"),
        (f"new_{savings}", ours[first], "/bankAccountId"),
        ("", None, "/providerId"),
    ):
        answer = await decide(world, connection_id, provider_id, account_id)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), (
            provider_id,
            account_id,
        )
    missing = await world.cast.owner.post(
        f"/v1/connections/{connection_id}/decisions", json={"providerId": "x"}
    )
    assert missing.status_code == 422
    assert (await decide(world, connection_id, f"new_{first}", ours[first])).status_code == 200
    assert (await decide(world, connection_id, f"new_{first}", ours[first])).status_code == 200
    assert (await decide(world, connection_id, f"new_{first}", ours[second])).status_code == 422
    assert (await decide(world, connection_id, f"new_{second}", ours[first])).status_code == 422


async def test_a_decision_during_a_sync_is_read_by_the_next_one(world: World) -> None:
    connection_id, ours = await ambiguous(world)
    first, second, _ = ours
    serve, answers = world.banks.server.serve, []

    async def answer(asked: Any) -> Any:
        if asked.path.endswith("/transactions") and not answers:
            for name in (first, second):
                answers.append(await decide(world, connection_id, f"new_{name}", ours[name]))
        return serve(asked)

    world.banks.server.serve = answer
    await synced(world, connection_id)
    assert [each.status_code for each in answers] == [200, 200]
    await run_jobs(world)
    assert await stored(world.banks) == told(world.banks, OTHER)
    assert await Transaction.raw().count_documents({}) == 7
