"""A help desk with app data: a value is edited, two people meet at it, what was deleted comes
back."""

import shutil
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.app.console.conftest import Operated
from tests.app.console.planted import HOSTILE, put
from tests.app.console.visitor import Visitor

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (make test installs it)"
)
Visit = Callable[..., Visitor]


@pytest.fixture
def notes(operated: Operated) -> str:
    """The API's path of the notes of a person of their own."""
    user = operated.served.post("/v1/users", {"name": "Zoe"})
    place = f"/v1/users/{user['id']}/apps/kept/data"
    put(operated.served, f"{place}/note:1", {"title": "Shopping", "items": [1]})
    put(operated.served, f"{place}/note:1", {"title": "Shopping", "items": [1, 2]})
    put(operated.served, f"{place}/note:2", {"title": HOSTILE})
    return place


def page_of(place: str, key: str = "note:1") -> str:
    _, _, _, user, _, app, _ = place.split("/")
    return f"/console/data/{user}/{app}/{key}"


def stored(operated: Operated, place: str, key: str = "note:1") -> Any:
    return operated.served.get(f"{place}/{key}")


def test_a_customer_says_that_her_notes_are_gone(
    visit: Visit, operated: Operated, notes: str
) -> None:
    for key in ("note:1", "note:2"):
        httpx2.delete(f"{operated.served.url}{notes}/{key}", headers=operated.served.headers)
    visitor = visit()
    visitor.open(f"/console/people/{notes.split('/')[3]}")
    visitor.follow(visitor.page.get_by_role("link", name="App data").last)
    visitor.page.get_by_label("App", exact=True).fill("kept")
    visitor.press("Show")
    visitor.follow(visitor.page.get_by_role("link", name="Deleted and expired"))
    assert visitor.faults() == []
    for key in ("note:1", "note:2"):
        visitor.page.get_by_role("checkbox", name=key).check()
    visitor.press("Restore those that are ticked")
    assert visitor.note == "2 values are restored."
    assert stored(operated, notes) == {"title": "Shopping", "items": [1, 2]}
    assert stored(operated, notes, "note:2") == {"title": HOSTILE}


def test_all_of_a_page_are_restored_without_ticking_each(
    visit: Visit, operated: Operated, notes: str
) -> None:
    keys = [f"note:{number}" for number in range(1, 51)]
    for key in keys:
        put(operated.served, f"{notes}/{key}", {"title": key})
        httpx2.delete(f"{operated.served.url}{notes}/{key}", headers=operated.served.headers)
    visitor = visit()
    visitor.open(f"/console/data?user={notes.split('/')[3]}&app=kept&gone=1")
    for box in visitor.page.get_by_role("checkbox").all():
        box.check()  # the form has as many fields as it can have
    visitor.press("Restore all 50 of this page")
    assert visitor.note == "50 values are restored."
    assert {stored(operated, notes, key)["title"] for key in keys} == {*keys}


def test_one_former_version_is_looked_at_and_restored(
    visit: Visit, operated: Operated, notes: str
) -> None:
    visitor = visit()
    visitor.open(page_of(notes))
    visitor.follow(visitor.page.get_by_role("link", name="1", exact=True))
    assert visitor.page.get_by_role("heading", name="Version 1").is_visible()
    assert visitor.faults() == []
    visitor.unfold("Restore this version")
    visitor.press("Restore version 1")
    assert visitor.note == "Version 1 is restored."
    assert stored(operated, notes) == {"title": "Shopping", "items": [1]}


def test_a_value_is_edited_and_keeps_its_expiry(
    visit: Visit, operated: Operated, notes: str
) -> None:
    put(operated.served, f"{notes}/note:1?ttl=5000", {"title": "Soon over"})
    visitor = visit()
    visitor.open(page_of(notes))
    visitor.page.get_by_label("Value, as JSON").fill('{"title": "Longer", "n": 9007199254740993}')
    visitor.press("Store it")
    assert visitor.note == "The value is stored."
    assert stored(operated, notes) == {"title": "Longer", "n": 9007199254740993}
    (found,) = operated.served.get(notes, keys="note:1")["items"]
    assert found["expiresAt"]


def test_who_was_overtaken_sees_both_values_and_decides(
    visit: Visit, operated: Operated, notes: str
) -> None:
    visitor = visit()
    visitor.open(page_of(notes))
    put(operated.served, f"{notes}/note:1", {"title": "Theirs"})
    visitor.page.get_by_label("Value, as JSON").fill('{"title": "Mine"}')
    visitor.press("Store it")
    assert stored(operated, notes) == {"title": "Theirs"}
    assert visitor.page.get_by_role("heading", name="Somebody has written meanwhile").is_visible()
    assert '"title": "Theirs"' in visitor.text
    assert visitor.page.get_by_label("Value, as JSON").input_value() == '{"title": "Mine"}'
    visitor.complaints.clear()  # that it was 412
    assert visitor.faults() == []
    visitor.press("Store this over version 3")
    assert stored(operated, notes) == {"title": "Mine"}


@pytest.mark.parametrize("typed", ["{", "", '{"title": NaN}', f"<b>{HOSTILE}"])
def test_what_is_no_json_is_refused_and_kept(
    visit: Visit, operated: Operated, notes: str, typed: str
) -> None:
    visitor = visit()
    visitor.open(page_of(notes))
    visitor.page.get_by_label("Value, as JSON").fill(typed)
    visitor.press("Store it")
    assert visitor.page.get_by_role("alert").is_visible()
    assert visitor.page.get_by_label("Value, as JSON").input_value() == typed
    assert stored(operated, notes) == {"title": "Shopping", "items": [1, 2]}
    visitor.complaints.clear()  # that it was 422
    assert visitor.faults() == []


def test_a_value_and_all_of_an_app_are_deleted(
    visit: Visit, operated: Operated, notes: str
) -> None:
    visitor = visit()
    visitor.open(page_of(notes))
    visitor.unfold("Delete it")
    visitor.press("Delete this value")
    assert visitor.page.get_by_role("heading", name="There is no value now").is_visible()
    user = notes.split("/")[3]
    visitor.open(f"/console/data?user={user}&app=kept")
    visitor.unfold("Delete all that this app keeps of them")
    visitor.page.get_by_label("Type kept to confirm").fill("notes")
    visitor.press("Delete all of it")
    assert "nothing was deleted" in visitor.text
    assert stored(operated, notes, "note:2") == {"title": HOSTILE}
    visitor.open(f"/console/data?user={user}&app=kept")
    visitor.unfold("Delete all that this app keeps of them")
    visitor.page.get_by_label("Type kept to confirm").fill("kept")
    visitor.press("Delete all of it")
    assert operated.served.get(f"/v1/users/{user}/apps")["items"] == []
