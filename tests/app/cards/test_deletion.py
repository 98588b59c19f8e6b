"""What deleting a user, a spending profile or an account does to cards, and what the webhook is
told of it."""

from typing import Any

from bson import ObjectId

from app.cards.delivery import deliver_due
from models import DOCUMENTS
from models.card import Card
from models.card_event import CardEvent
from models.card_queue import CardQueue
from tests.app.cards.conftest import MakeSender
from tests.app.cards.receiver import Receiver
from tests.cast import Cast, Programme
from tests.conftest import MakeApi
from tests.factories.cards import a_card
from tests.harness import Api


async def last_event(subject: str) -> dict[str, Any]:
    (row,) = (
        await CardEvent.raw()
        .find({"subject": ObjectId(subject)})
        .sort("sequence", -1)
        .limit(1)
        .to_list()
    )
    return row


async def test_a_user_with_active_cards_is_not_deleted_and_they_are_named(
    cast: Cast, programme: Programme
) -> None:
    closed = (await a_card(programme)).rsplit("/", 1)[1]
    await programme.manager.merge(f"{programme.path}/cards/{closed}", {"status": "closed"})
    before = await Card.raw().find({}).to_list()
    for status in ("pending", "open", "paused"):
        if status != "pending":
            await programme.manager.merge(programme.card_path, {"status": status})
            before = await Card.raw().find({}).to_list()
        refused = await programme.holder.delete("/v1/users/me")
        assert (refused.status_code, refused.json()["code"]) == (409, "restricted")
        assert programme.card in refused.text
        assert closed not in refused.text
        assert await Card.raw().find({}).to_list() == before
    plan = (await programme.holder.get("/v1/users/me/deletion-plan")).json()
    assert programme.card in str(plan["blockers"])
    assert (await programme.holder.get("/v1/users/me")).status_code == 200


async def test_the_closed_cards_of_a_deleted_user_are_orphaned_and_that_is_told(
    programme: Programme,
) -> None:
    await programme.manager.merge(programme.card_path, {"status": "closed"})
    deleted = await programme.holder.delete("/v1/users/me")
    assert (deleted.status_code, deleted.json()["nulled"]) == (200, {"cards": 1})
    card = (await programme.manager.get(programme.card_path)).json()
    assert (card["status"], card["userId"], card["spendingProfileId"]) == (
        "orphaned",
        None,
        programme.profile,
    )
    assert card["version"] > 2
    event = await last_event(programme.card)
    assert (event["type"], event["status"], event["changed"]) == (
        "card.orphaned",
        "orphaned",
        ["status", "userId"],
    )
    assert (
        await programme.manager.merge(programme.card_path, {"status": "open"})
    ).status_code == 409


async def test_cards_of_a_deleted_profile_revert_to_their_own_limits(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    plan = (await listened.manager.get(f"{listened.profile_path}/deletion-plan")).json()
    assert (plan["deleted"], plan["nulled"], plan["blockers"]) == (
        {"spendingprofiles": 1},
        {"cards": 1},
        [],
    )
    deleted = await listened.manager.delete(listened.profile_path)
    assert (deleted.status_code, deleted.json()["nulled"]) == (200, {"cards": 1})
    card = (await listened.manager.get(listened.card_path)).json()
    assert (card["spendingProfileId"], card["effectiveLimits"]["source"]) == (None, "card")
    assert card["effectiveLimits"]["limits"] == {"DAILY": 5000}
    assert (await listened.manager.get(listened.profile_path)).status_code == 404
    assert (await listened.manager.delete(listened.profile_path)).status_code == 404

    await deliver_due(await make_sender())
    told = {delivery.event["type"]: delivery.event["data"] for delivery in receiver.deliveries}
    assert told["card.updated"]["card"] == card
    assert told["card.updated"]["changed"] == ["effectiveLimits", "spendingProfileId"]


async def test_the_webhook_is_told_that_a_profile_is_gone(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    assert (await listened.manager.delete(listened.profile_path)).status_code == 200
    await deliver_due(await make_sender())
    told = {delivery.event["type"]: delivery.event["data"] for delivery in receiver.deliveries}
    assert told["spending_profile.deleted"]["spendingProfile"] is None
    assert await CardQueue.raw().count_documents({"_id": ObjectId(listened.profile)}) == 0


async def test_a_deleted_account_takes_all_with_it_and_nothing_else(
    cast: Cast, programme: Programme
) -> None:
    await programme.manager.merge(programme.card_path, {"status": "open"})
    others = {
        document: (
            await document.raw()
            .find({"accountId": ObjectId(programme.elsewhere)})
            .sort("_id", 1)
            .to_list()
        )
        for document in DOCUMENTS
    }
    plan = (await programme.manager.get(f"{programme.path}/deletion-plan")).json()
    assert (
        plan["deleted"]["cards"],
        plan["deleted"]["users"],
        plan["deleted"]["spendingprofiles"],
    ) == (1, 2, 2)
    assert plan["blockers"] == [], "the cards go with their users"
    receipt = await cast.admin.delete(programme.path)
    assert receipt.status_code == 200
    assert (
        receipt.json()["deleted"] | {"accounts": 1, "users": 2, "cards": 1}
        == receipt.json()["deleted"]
    )
    account = ObjectId(programme.account)
    left = {
        document.collection_name(): await document.raw().count_documents({"accountId": account})
        for document in DOCUMENTS
    }
    assert {name: count for name, count in left.items() if count} == {}
    for path in (
        programme.path,
        programme.card_path,
        programme.profile_path,
        f"{programme.path}/users",
    ):
        assert (await cast.admin.get(path)).status_code == 404
    assert (await programme.manager.get(programme.path)).status_code in (401, 404)
    assert (await cast.admin.get(f"/v1/users/{programme.holder.id}")).status_code == 404
    for document, rows in others.items():
        found = (
            await document.raw()
            .find({"accountId": ObjectId(programme.elsewhere)})
            .sort("_id", 1)
            .to_list()
        )
        assert found == rows


async def test_of_an_account_whose_sweep_goes_on_nothing_is_reachable(
    make_api: MakeApi, programme: Programme
) -> None:
    api = await make_api(deletion_inline_seconds=0, deletion_small_tree=1)
    admin = await api.key("admin")
    await Card.raw().insert_many(
        [
            {
                "accountId": ObjectId(programme.account),
                "userId": ObjectId(programme.holder.id),
                "status": "open",
                "lastFour": "0000",
            }
            for _ in range(1500)
        ]
    )
    started = await admin.delete(programme.path)
    assert started.status_code == 202
    for path in (
        programme.path,
        programme.card_path,
        programme.profile_path,
        f"{programme.path}/cards",
    ):
        assert (await admin.get(path)).status_code == 404
        assert (await programme.holder.get(path)).status_code == 404
    assert (await admin.merge(programme.card_path, {"status": "open"})).status_code == 404
    assert (await admin.post(f"{programme.path}/users", json={})).status_code == 404


async def test_a_stale_delete_takes_nothing_and_returns_what_is_stored(
    programme: Programme,
) -> None:
    for path in (programme.profile_path, programme.path):
        current = (await programme.manager.merge(path, {"name": "New"})).json()
        current.pop("affectedCards", None)
        stale = await programme.manager.delete(path, headers={"If-Match": '"1"'})
        assert (stale.status_code, stale.json()["current"]) == (412, current)
        assert (await programme.manager.get(path)).json() == current
        assert (
            await programme.manager.delete(path, headers={"If-Match": '"2"'})
        ).status_code == 200


async def test_who_may_not_see_jobs_is_led_to_the_receipt(
    make_api: MakeApi, cast: Cast, programme: Programme
) -> None:
    """Of a spending profile and an account, by a key that is no admin's; a job goes on, so that it
    is 202."""
    api = await make_api(deletion_inline_seconds=0, deletion_small_tree=1)
    key = await api.key("accounts:read", "accounts:write")
    other = await api.key("accounts:read", "accounts:write")
    card = await Card.raw().find_one({}) or {}
    copies = [{**card, "_id": ObjectId(), "status": "closed"} for _ in range(1200)]
    for path, root in (
        (programme.profile_path, programme.profile),
        (programme.path, programme.account),
    ):
        await Card.raw().delete_many({})
        await Card.raw().insert_many([{**copy, "version": 1} for copy in copies])
        started = await key.delete(path)
        assert (started.status_code, started.headers.get("location")) == (
            202,
            f"/v1/deletions/{root}",
        )
        receipt = await key.get(started.headers["location"])
        assert (receipt.status_code, receipt.json()["id"], receipt.json()["swept"]) == (
            200,
            root,
            False,
        )
        assert (await other.get(started.headers["location"])).status_code == 404
        assert (await cast.stranger.get(started.headers["location"])).status_code == 404
        assert (await cast.admin.get(started.headers["location"])).json()["id"] == root


async def test_both_places_show_the_receipt_of_a_user(api: Api, cast: Cast) -> None:
    writer = await api.key("users:write")
    for caller, user in ((cast.owner, cast.owner.id), (writer, cast.stranger.id)):
        receipt = (await caller.delete(f"/v1/users/{user}")).json()
        for path in (f"/v1/users/{user}/deletion", f"/v1/deletions/{user}"):
            assert (await caller.get(path)).json() == receipt
