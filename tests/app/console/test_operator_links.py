"""Accounts and cards, bank connections and repositories at the console: their state, and what is
done about it."""

import shutil
from collections.abc import Callable

import pytest
from bson import ObjectId

from tests.app.console.conftest import Operated
from tests.app.console.planted import HOSTILE
from tests.app.console.visitor import Visitor

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (make test installs it)"
)
Visit = Callable[..., Visitor]


def test_a_card_that_was_stolen_is_paused_and_its_account_too(
    visit: Visit, operated: Operated
) -> None:
    place = f"/v1/accounts/{operated.planted['accountId']}"
    (card,) = operated.served.get(f"{place}/cards")["items"]
    visitor = visit()
    visitor.open(f"/console/accounts/{operated.planted['accountId']}")
    for action, state in (("Open", "open"), ("Pause", "paused")):
        visitor.unfold(action, "tbody")
        visitor.press(f"Make this card {state}")
        assert visitor.note == f"The card is {state}."
        assert operated.served.get(f"{place}/cards/{card['id']}")["status"] == state
    visitor.unfold("Make it paused")
    visitor.press("Make the account paused")
    assert operated.served.get(place)["status"] == "paused"
    visitor.unfold("Open", "tbody")
    visitor.press("Make this card open")  # not in an account that is paused
    assert visitor.page.get_by_role("heading", name="This was not done").is_visible()
    visitor.open(f"/console/accounts/{operated.planted['accountId']}")
    visitor.unfold("Make it active")
    visitor.press("Make the account active")
    assert operated.served.get(place)["status"] == "active"


def test_a_webhooks_secret_is_shown_once(visit: Visit, operated: Operated) -> None:
    visitor = visit()
    visitor.open(f"/console/accounts/{operated.planted['accountId']}")
    visitor.unfold("New webhook secret")
    visitor.press("Make another secret")
    secret = visitor.page.locator("[data-key]").inner_text()
    assert secret.startswith("whsec_")
    visitor.follow(visitor.page.get_by_role("link", name="I have it"))
    assert secret not in visitor.page.content()


def test_events_that_were_given_up_are_sent_again_one_or_all(
    visit: Visit, operated: Operated
) -> None:
    events = operated.served.database["cardevents"]
    events.update_many({}, {"$set": {"state": "dead"}})
    count = events.count_documents({})
    assert count >= 2
    visitor = visit()
    visitor.open("/console/card-events")
    visitor.unfold("Send again", "tbody")
    visitor.press("Send this event again")
    assert visitor.note == "The event waits to be sent again."
    assert events.count_documents({"state": "waiting"}) == 1
    visitor.open("/console/card-events")
    visitor.unfold("Send all again that were given up")
    visitor.press(f"Send {count - 1} again")
    assert f"sent again: {count - 1}." in visitor.note
    assert events.count_documents({"state": "dead"}) == 0


def test_an_account_says_what_its_webhook_was_not_sent_and_why(
    visit: Visit, operated: Operated
) -> None:
    events = operated.served.database["cardevents"]
    account = operated.planted["accountId"]
    events.update_many({}, {"$set": {"state": "waiting", "attempts": 3, "lastError": HOSTILE}})
    visitor = visit()
    visitor.open(f"/console/accounts/{account}")
    said = visitor.page.locator("section", has_text="was not sent yet").inner_text()
    assert "waits after 3 tries" in said and HOSTILE in said
    assert visitor.faults() == []
    visitor.follow(visitor.page.get_by_role("link", name="given up"))
    assert "There is none." in visitor.text
    visitor.follow(visitor.page.get_by_role("link", name="waiting"))
    assert HOSTILE in visitor.text
    events.update_many({}, {"$set": {"state": "delivered"}})
    visitor.open(f"/console/accounts/{account}")
    assert "Nothing: all was taken" in visitor.text


def test_a_connection_is_synced_and_says_what_needs_doing(visit: Visit, operated: Operated) -> None:
    connections = operated.served.database["connections"]
    found = {"_id": ObjectId(operated.planted["connectionId"])}
    visitor = visit()
    visitor.open("/console/connections?status=connected")
    visitor.follow(visitor.page.locator("tbody th a").first)
    visitor.unfold("Sync now")
    visitor.press("Sync it now")
    assert "Sandbox checking" in visitor.text
    before = connections.find_one(found)
    connections.update_one(found, {"$set": {"status": "needs_reauth"}})
    visitor.open("/console/connections?status=connected")
    assert "There is none." in visitor.text
    visitor.open(f"/console/connections?user={operated.planted['userId']}")
    visitor.follow(visitor.page.locator("tbody th a").first)
    assert "signs in to their bank anew" in visitor.text
    assert before is not None
    connections.replace_one(found, before)


def test_a_delivery_is_read_again(visit: Visit, operated: Operated) -> None:
    visitor = visit()
    visitor.open(f"/console/projects/{operated.planted['projectId']}?status=failed")
    visitor.unfold("Read again", "tbody")
    visitor.press("Read this delivery again")
    assert visitor.note == "The delivery is read again."
    events = operated.served.database["webhookevents"]
    assert events.count_documents({"status": "failed"}) == 51
