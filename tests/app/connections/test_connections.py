"""Bank connections: made, listed, changed, disconnected, deleted; and who reaches them."""

from typing import Any

import pytest
from bson import ObjectId

from models.bank_account import BankAccount
from models.base import now
from models.connection import Connection
from models.job import Job
from models.outside_link import OutsideLink
from models.transaction import Transaction
from tests.app.connections.conftest import TOKEN, World
from tests.factories.bank_jobs import run_jobs
from tests.harness import version_of
from tests.outside.server import Told
from tests.outside.teller import error

BODY = {"provider": "teller", "institution": "Bank", "label": "Personal", "accessToken": TOKEN}
SHOWN = {
    *("id", "version", "createdAt", "updatedAt", "userId", "provider", "institution", "label"),
    *("status", "statusReason", "lastSyncAt", "nextAttemptAt"),
}


async def test_a_connection_shows_its_state_and_never_its_token(world: World) -> None:
    made = await world.cast.owner.post("/v1/users/me/connections", json=BODY)
    assert (made.status_code, set(made.json())) == (201, SHOWN)
    assert made.headers["location"] == f"/v1/connections/{made.json()['id']}"
    seen = await world.cast.owner.get(made.headers["location"])
    assert (seen.json(), version_of(seen)) == (made.json(), 1)
    known = await world.cast.owner.get(
        made.headers["location"], headers={"If-None-Match": seen.headers["etag"]}
    )
    assert known.status_code == 304
    row: Any = await Connection.raw().find_one({})
    assert TOKEN not in str(row)
    assert set(row["accessToken"]) == {"v", "k", "n", "c"}


async def test_several_logins_at_one_institution_each_with_its_token(world: World) -> None:
    business = world.banks.login("test_token_business")
    business.add(business.add_account("Card", subtype="credit_card"), "txn_b")
    personal = await world.connect()
    other = await world.connect("test_token_business", label="Business")
    listed = (await world.cast.owner.get("/v1/users/me/connections")).json()["items"]
    assert [(item["id"], item["institution"], item["label"]) for item in listed] == [
        (other, "Bank", "Business"),
        (personal, "Bank", "Personal"),
    ]
    for connection_id in (personal, other):
        await world.sync(connection_id)
    names = {
        connection_id: [
            account["name"]
            for account in (
                await world.cast.owner.get(f"/v1/connections/{connection_id}/accounts")
            ).json()["items"]
        ]
        for connection_id in (personal, other)
    }
    assert names == {personal: ["Checking"], other: ["Card"]}
    first = (
        await world.cast.owner.get(
            "/v1/users/me/connections", params={"limit": 1, "expand": "user"}
        )
    ).json()
    assert first["items"][0]["user"]["id"] == world.cast.owner.id
    second = await world.cast.owner.get(
        "/v1/users/me/connections", params={"cursor": first["nextCursor"]}
    )
    assert [item["id"] for item in second.json()["items"]] == [personal]


async def test_a_repeat_with_the_same_key_makes_nothing_new(world: World) -> None:
    key = {"Idempotency-Key": "once"}
    first = await world.cast.owner.post("/v1/users/me/connections", json=BODY, headers=key)
    again = await world.cast.owner.post("/v1/users/me/connections", json=BODY, headers=key)
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert await Connection.raw().count_documents({}) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"accessToken": "wrong"}, "/accessToken"),
        ({"accessToken": ""}, "/accessToken"),
        ({"accessToken": 7}, "/accessToken"),
        ({"accessToken": None}, "/accessToken"),
        ({"provider": "plaid"}, "/provider"),
        ({"label": ""}, "/label"),
        ({"status": "connected"}, "/status"),
    ],
)
async def test_bad_input_names_the_field_and_stores_nothing(
    world: World, change: Any, pointer: str
) -> None:
    answer = await world.cast.owner.post("/v1/users/me/connections", json={**BODY, **change})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await Connection.raw().count_documents({}) == 0


async def test_a_provider_that_cannot_answer_is_503_and_stores_nothing(world: World) -> None:
    world.banks.server.faults.append(error(502, "bad_gateway"))
    answer = await world.cast.owner.post("/v1/users/me/connections", json=BODY)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (
        503,
        "provider_unavailable",
        "30",
    )
    assert await Connection.raw().count_documents({}) == 0


async def test_a_missing_certificate_is_our_fault_and_no_ones_login(world: World) -> None:
    connection_id = await world.connect()
    world.banks.server.faults.append(
        error(
            400, "bad_request", "Missing certificate: Retry request using your client certificate."
        )
    )
    assert (await world.sync(connection_id)).status_code == 503
    assert (await world.see(connection_id))["status"] == "connected"


async def test_names_change_by_patch_and_nothing_else_does(world: World) -> None:
    connection_id = await world.connect()
    path = f"/v1/connections/{connection_id}"
    seen = await world.cast.owner.get(path)
    changed = await world.cast.owner.merge(
        path, {"label": "Mine"}, headers={"If-Match": seen.headers["etag"]}
    )
    assert (changed.status_code, changed.json()["label"]) == (200, "Mine")
    stale = await world.cast.owner.merge(
        path, {"label": "x"}, headers={"If-Match": seen.headers["etag"]}
    )
    assert (stale.status_code, stale.json()["current"]["label"]) == (412, "Mine")
    assert (await world.cast.owner.merge(path, seen.json() | {"label": "Mine"})).status_code in (
        200,
        422,
    )
    for patch in (
        {"userId": "f" * 24},
        {"cursor": "x"},
        {"status": "connected2"},
        {"label": None},
        {"provider": "sandbox"},
    ):
        assert (await world.cast.owner.merge(path, patch)).status_code == 422
    by_operations = [{"op": "replace", "path": "/institution", "value": "Other"}]
    assert (await world.cast.owner.patch(path, by_operations)).json()["institution"] == "Other"


async def test_disconnecting_erases_the_token_at_once_and_gives_the_access_up(world: World) -> None:
    connection_id = await world.connect()
    await world.sync(connection_id)
    off = await world.cast.owner.merge(
        f"/v1/connections/{connection_id}", {"status": "disconnected"}
    )
    assert (off.json()["status"], off.json()["statusReason"]) == ("disconnected", "by_user")
    row: Any = await Connection.raw().find_one({})
    assert "accessToken" not in row
    assert await Transaction.raw().count_documents({}) == 5
    assert (await world.sync(connection_id)).json()["code"] == "disconnected"
    world.banks.server.faults.append(error(500, "internal"))
    await run_jobs(world)
    assert not world.banks.login(TOKEN).deleted
    await OutsideLink.raw().update_many({}, [{"$set": {"nextAttemptAt": "$createdAt"}}])
    await again(world)
    assert world.banks.login(TOKEN).deleted
    assert await OutsideLink.raw().count_documents({}) == 0
    world.banks.logins["test_token_new"] = world.banks.logins.pop(TOKEN)
    world.banks.logins["test_token_new"].deleted = False
    on = await world.cast.owner.merge(
        f"/v1/connections/{connection_id}", {"accessToken": "test_token_new"}
    )
    assert on.json()["status"] == "connected"
    assert (await world.sync(connection_id)).status_code == 200


async def again(world: World) -> None:
    await Job.raw().update_many({}, {"$set": {"runAt": now()}})
    await run_jobs(world)


async def test_access_is_not_given_up_while_another_connection_lives_by_the_same_login(
    world: World,
) -> None:
    first = await world.connect()
    body = {"provider": "teller", "institution": "Bank", "label": "Ours", "accessToken": TOKEN}
    second = (await world.cast.stranger.post("/v1/users/me/connections", json=body)).json()["id"]
    await world.cast.owner.merge(f"/v1/connections/{first}", {"status": "disconnected"})
    await run_jobs(world)
    assert not world.banks.login(TOKEN).deleted
    await world.cast.stranger.merge(f"/v1/connections/{second}", {"status": "disconnected"})
    await again(world)
    assert world.banks.login(TOKEN).deleted


async def test_deleting_a_connection_takes_accounts_and_transactions_along(world: World) -> None:
    connection_id = await world.connect()
    await world.sync(connection_id)
    expected = {"connections": 1, "bankaccounts": 1, "transactions": 5}
    plan = await world.cast.owner.get(f"/v1/connections/{connection_id}/deletion-plan")
    assert plan.json()["deleted"] == expected
    receipt = await world.cast.owner.delete(f"/v1/connections/{connection_id}")
    assert (receipt.status_code, receipt.json()["deleted"]) == (200, expected)
    for document in (Connection, BankAccount, Transaction):
        assert await document.raw().count_documents({}) == 0
    assert (await world.cast.owner.get(f"/v1/connections/{connection_id}")).status_code == 404
    await run_jobs(world)
    assert world.banks.login(TOKEN).deleted
    assert await OutsideLink.raw().count_documents({}) == 0


async def test_deleting_a_user_erases_tokens_first_and_the_receipt_names_the_links_outside(
    world: World,
) -> None:
    connection_id = await world.connect()
    await world.sync(connection_id)
    world.banks.server.faults.extend([Told(500), Told(500)])
    receipt = (await world.cast.owner.delete("/v1/users/me")).json()
    assert (
        receipt["deleted"].items()
        >= {
            "connections": 1,
            "bankaccounts": 1,
            "transactions": 5,
        }.items()
    )
    assert receipt["outsideLinks"] == 1
    link: Any = await OutsideLink.raw().find_one({})
    assert TOKEN not in str(link)
    await run_jobs(world)
    assert await OutsideLink.raw().count_documents({}) == 1
    await OutsideLink.raw().update_many({}, [{"$set": {"nextAttemptAt": "$createdAt"}}])
    await again(world)
    await OutsideLink.raw().update_many({}, [{"$set": {"nextAttemptAt": "$createdAt"}}])
    await again(world)
    assert world.banks.login(TOKEN).deleted
    assert await OutsideLink.raw().count_documents({}) == 0


async def test_who_deleted_something_can_read_the_receipt(world: World) -> None:
    connection_id = await world.connect()
    receipt = (await world.cast.owner.delete(f"/v1/connections/{connection_id}")).json()
    assert receipt["outsideLinks"] == 1
    path = f"/v1/deletions/{connection_id}"
    for caller in (world.cast.owner, world.cast.admin):
        assert (await caller.get(path)).json()["deleted"] == receipt["deleted"]
    assert (await world.cast.stranger.get(path)).status_code == 404
    assert (await world.cast.nobody.get(path)).status_code == 401
    await run_jobs(world)
    assert "outsideLinks" not in (await world.cast.owner.get(path)).json()


async def test_a_stale_precondition_deletes_nothing(world: World) -> None:
    connection_id = await world.connect()
    path = f"/v1/connections/{connection_id}"
    refused = await world.cast.owner.delete(path, headers={"If-Match": '"99"'})
    assert (refused.status_code, refused.json()["current"]["id"]) == (412, connection_id)
    assert (await world.see(connection_id))["status"] == "connected"
    assert await OutsideLink.raw().count_documents({}) == 0
    seen = await world.cast.owner.get(path)
    assert (
        await world.cast.owner.delete(path, headers={"If-Match": seen.headers["etag"]})
    ).status_code == 200


async def test_a_stranger_is_told_the_same_of_what_is_anothers_and_what_is_not_there(
    world: World,
) -> None:
    connection_id = await world.connect()
    await world.sync(connection_id)
    account: Any = await BankAccount.raw().find_one({})
    for template, real in (
        ("/v1/connections/{}", connection_id),
        ("/v1/bank-accounts/{}/transactions", account["_id"]),
    ):
        answers = [
            await world.cast.stranger.get(template.format(each))
            for each in (real, ObjectId(), "nonsense")
        ]
        assert {(answer.status_code, answer.json()["detail"]) for answer in answers} == {
            (404, answers[0].json()["detail"])
        }
    for verb, tail in (
        ("POST", "/sync"),
        ("GET", "/accounts"),
        ("GET", "/deletion-plan"),
        ("DELETE", ""),
    ):
        answer = await world.cast.stranger.request(verb, f"/v1/connections/{connection_id}{tail}")
        assert answer.status_code == 404
    decision = {"providerId": "acc_enr_0_0", "bankAccountId": None}
    path = f"/v1/connections/{connection_id}/decisions"
    assert (await world.cast.stranger.post(path, json=decision)).status_code == 404
    assert (
        await world.cast.stranger.merge(f"/v1/connections/{connection_id}", {"label": "x"})
    ).status_code == 404
    assert (
        await world.cast.stranger.get(f"/v1/users/{world.cast.owner.id}/connections")
    ).status_code == 404


async def test_a_token_of_one_app_reaches_no_bank_data(world: World) -> None:
    connection_id = await world.connect()
    for path in (
        "/v1/users/me/connections",
        f"/v1/connections/{connection_id}",
        f"/v1/connections/{connection_id}/accounts",
    ):
        assert (await world.cast.owner_in_app.get(path)).status_code == 403


async def test_the_sandbox_is_offered_where_the_settings_say_so(
    world: World, make_api: Any
) -> None:
    body = {**BODY, "provider": "sandbox", "accessToken": "sandbox_ann"}
    made = await world.cast.owner.post("/v1/users/me/connections", json=body)
    assert made.status_code == 201
    assert (await world.sync(made.json()["id"])).json()["state"] == "done"
    assert await Transaction.raw().count_documents({}) > 50
    rows = await Transaction.raw().count_documents({})
    await world.sync(made.json()["id"])
    assert await Transaction.raw().count_documents({}) == rows
    for token in ("sandbox_login", "sandbox_revoked"):
        refused = await world.cast.owner.post(
            "/v1/users/me/connections", json={**body, "accessToken": token}
        )
        assert refused.status_code == 422
    api = await make_api(bank_sandbox=False)
    owner = api.caller(world.cast.owner.credential)
    refused = await owner.post("/v1/users/me/connections", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "not_allowed")


async def test_a_key_that_deleted_something_can_read_the_receipt(world: World) -> None:
    """Whatever its scopes, about its own deletions and no others."""
    connection_id = await world.connect()
    key, other = [await world.api.key("connections:write") for _ in range(2)]
    receipt = (await key.delete(f"/v1/connections/{connection_id}")).json()
    path = f"/v1/deletions/{connection_id}"
    assert (await key.get(path)).json() == receipt
    assert (
        (await other.get(path)).status_code,
        (await world.cast.owner.get(path)).status_code,
    ) == (404, 404)
