"""A help desk makes one person of two who are the same: found, planned, chosen, typed, watched."""

import shutil
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect

from app.console.people.merging import KINDS
from app.relations.merging import conflicts
from tests.app.console.conftest import Operated
from tests.app.console.planted import HOSTILE, put
from tests.app.console.visitor import Visitor

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (make test installs it)"
)
Visit = Callable[..., Visitor]
BUTTON = "Make one person of the two"
WIDTHS = (390, 820, 1280)


def twins(operated: Operated, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two of the name with another email and another value under one key."""
    made = []
    for side in ("old", "new"):
        email = f"{side}-{name.split(maxsplit=1)[0].lower()}@example.com"
        user = operated.served.post("/v1/users", {"email": email, "name": name})
        put(operated.served, f"/v1/users/{user['id']}/apps/kept/data/n", {side: HOSTILE})
        made.append(user)
    return made[0], made[1]


def planned(
    visit: Visit, source: dict[str, Any], target: dict[str, Any], **options: Any
) -> Visitor:
    visitor = visit(**options)
    assert visitor.open(f"/console/people/{source['id']}/merge?into={target['id']}") == 200
    return visitor


def choose(visitor: Visitor, **sides: str) -> None:
    for kind, side in sides.items():
        box = visitor.page.get_by_role("group", name=KINDS[kind])
        box.get_by_label(f"keep that of who {side}").check()


def confirm(visitor: Visitor, text: str) -> None:
    visitor.page.get_by_label("to confirm").fill(text)
    visitor.press(BUTTON)


def test_two_are_found_by_clicks_chosen_typed_and_merged(visit: Visit, operated: Operated) -> None:
    old, new = twins(operated, "Twofold Ann")
    visitor = visit()
    visitor.open(f"/console/people/{old['id']}")
    visitor.follow(visitor.page.get_by_role("link", name="Merge", exact=True))
    row = visitor.page.get_by_role("row").filter(has_text=new["email"])
    assert old["email"] not in visitor.page.locator("tbody").inner_text()
    visitor.follow(row.get_by_role("link", name="See the plan"))
    assert "appdata" in visitor.text and new["email"] in visitor.text
    choose(visitor, email="stays", appData="goes")
    confirm(visitor, old["email"])
    assert visitor.note == "The two are one person."
    assert visitor.faults() == []
    if operated.served.processes.get("worker") is None:
        operated.served.start("worker")
    expect(visitor.page.get_by_text("It is final")).to_be_visible(timeout=60_000)
    found = operated.served.get(f"/v1/users/{new['id']}")
    assert found["email"] == new["email"]
    kept = operated.served.get(f"/v1/users/{new['id']}/apps/kept/data/n")
    assert kept == {"old": HOSTILE}
    assert visitor.open(f"/console/people/{old['id']}") == 410
    visitor.follow(visitor.page.locator("main").get_by_role("link", name=new["id"]))
    visitor.page.get_by_role("heading", name="Twofold Ann").wait_for()


def test_nothing_is_merged_by_what_is_not_typed_not_chosen_or_not_as_shown(
    visit: Visit, operated: Operated
) -> None:
    old, new = twins(operated, "Careful Ann")
    visitor = planned(visit, old, new)
    choose(visitor, email="stays", appData="stays")
    confirm(visitor, "somebody@example.com")
    assert "nothing was merged" in visitor.page.get_by_role("alert").inner_text()
    chosen = visitor.page.get_by_label("keep that of who stays")
    assert [each.is_checked() for each in chosen.all()] == [True, True]
    place = f"{operated.served.url}/v1/users/{new['id']}"
    headers = {**operated.served.headers, "Content-Type": "application/merge-patch+json"}
    assert httpx2.patch(place, json={"valuUserId": "careful"}, headers=headers).is_success
    confirm(visitor, old["email"])
    assert "Look again" in visitor.page.get_by_role("alert").inner_text()
    for user in (old, new):
        assert operated.served.get(f"/v1/users/{user['id']}")["email"] == user["email"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_pages_of_a_merge_are_accessible(visit: Visit, operated: Operated, width: int) -> None:
    old, new = twins(operated, f"W{width} {HOSTILE}")
    for user, bio in ((old, HOSTILE), (new, "Another")):
        place = f"{operated.served.url}/v1/users/{user['id']}/profile"
        headers = {**operated.served.headers, "Content-Type": "application/merge-patch+json"}
        assert httpx2.patch(place, json={"bio": bio}, headers=headers).is_success
    visitor = planned(visit, old, new, viewport={"width": width, "height": 900})
    assert HOSTILE in visitor.page.get_by_role("group", name=KINDS["profile"]).inner_text()
    assert visitor.faults() == []
    visitor.follow(visitor.page.get_by_role("link", name="The other way round"))
    assert visitor.page.url.endswith(f"/{new['id']}/merge?into={old['id']}")
    assert visitor.faults() == []
    visitor.follow(visitor.page.get_by_role("link", name="Somebody else"))
    assert visitor.faults() == []


def test_every_kind_of_conflict_has_a_name() -> None:
    assert set(KINDS) == set(conflicts.KINDS)
