"""Receipts count what is left to be removed outside, however far down the deleted tree it hung."""

from typing import Any

import pytest
from bson import ObjectId

from models.base import Raw
from models.outside_link import OutsideLink
from tests.app.connections.conftest import World
from tests.conftest import MakeApi
from tests.factories.bank_jobs import run_jobs
from tests.harness import Api
from tests.outside.server import Told

TREES: dict[str, dict[str, Any]] = {"at once": {}, "swept": {"deletion_small_tree": 1}}
BY_A_JOB: dict[str, Any] = {"deletion_small_tree": 1, "deletion_inline_seconds": 0}


async def account_of(world: World, name: str, logins: int) -> tuple[str, list[str]]:
    """An account with a user for each login; its id, and those of the connections."""
    account = (await world.cast.admin.post("/v1/accounts", json={"name": name})).json()["id"]
    connections = []
    for number in range(logins):
        token = f"{name}_{number}"
        world.banks.login(token).add_account("Checking")
        user = (
            await world.cast.admin.post(f"/v1/accounts/{account}/users", json={"name": "U"})
        ).json()["id"]
        body = {
            "provider": "teller",
            "institution": "Bank",
            "label": "Personal",
            "accessToken": token,
        }
        made = await world.cast.admin.post(f"/v1/users/{user}/connections", json=body)
        assert made.status_code == 201, made.text
        connections.append(made.json()["id"])
    return account, connections


async def receipt_of(world: World, api: Api, account: str) -> Raw:
    """Delete an account; the receipt, which is shown afterwards as it is answered."""
    admin = api.caller(world.cast.admin.credential)
    answer = await admin.delete(f"/v1/accounts/{account}")
    assert answer.status_code == 200, answer.text
    receipt: Raw = answer.json()
    assert (await admin.get(f"/v1/deletions/{account}")).json() == receipt
    return receipt


@pytest.mark.parametrize("tree", TREES)
async def test_an_accounts_receipt_counts_the_links_of_its_users(
    make_api: MakeApi, world: World, tree: str
) -> None:
    account, connections = await account_of(world, "ours", 3)
    elsewhere, _ = await account_of(world, "theirs", 1)
    ended = await world.cast.admin.merge(
        f"/v1/connections/{connections[0]}", {"status": "disconnected"}
    )
    assert ended.status_code == 200
    api = await make_api(**{"teller_url": world.api.settings.teller_url, **TREES[tree]})
    assert (await receipt_of(world, api, account))["outsideLinks"] == 3, (
        "one was there before its user went"
    )
    assert (await receipt_of(world, api, elsewhere))["outsideLinks"] == 1
    await run_jobs(world)
    for deleted in (account, elsewhere):
        left = (await world.cast.admin.get(f"/v1/deletions/{deleted}")).json()
        assert "outsideLinks" not in left
    assert all(
        login.deleted
        for token, login in world.banks.logins.items()
        if token.startswith(("ours", "theirs"))
    )


async def test_the_sweep_of_a_job_counts_them_too(make_api: MakeApi, world: World) -> None:
    account, _ = await account_of(world, "ours", 2)
    api = await make_api(**{"teller_url": world.api.settings.teller_url, **BY_A_JOB})
    admin = api.caller(world.cast.admin.credential)
    assert (await admin.delete(f"/v1/accounts/{account}")).status_code == 202
    world.banks.server.serve = lambda _: Told(503)
    await run_jobs(world)
    receipt = (await admin.get(f"/v1/deletions/{account}")).json()
    assert (receipt["deleted"]["connections"], receipt["outsideLinks"]) == (2, 2)
    assert await OutsideLink.raw().count_documents({"rootId": ObjectId(account)}) == 2
