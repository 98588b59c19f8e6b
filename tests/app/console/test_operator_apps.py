"""Apps and keys at the console: settings, schemas tried before they hold, keys shown once; and what
the pages of operation tell."""

import re
import shutil
from collections.abc import Callable

import httpx2
import pytest

from tests.app.console.conftest import Operated
from tests.app.console.planted import HOSTILE, put
from tests.app.console.visitor import Visitor

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (make test installs it)"
)
Visit = Callable[..., Visitor]


def test_an_app_is_registered_and_its_settings_are_stored(visit: Visit, operated: Operated) -> None:
    visitor = visit()
    visitor.open("/console/apps")
    visitor.page.get_by_label("Id").fill("boats")
    visitor.page.get_by_label("Name").fill(HOSTILE)
    visitor.press("Register")
    assert visitor.note == "The app boats is registered."
    page = visitor.page
    page.get_by_label("Former versions of each value").fill("7")
    page.get_by_label("Values", exact=True).fill("50")
    page.get_by_label("Properties by whose values").fill("plan\ncountry")
    page.get_by_label("Writes of app data need a precondition").check()
    page.get_by_label("Queries, by name").fill('{"byTitle": {"by": [{"pointer": "/title"}]}}')
    visitor.press("Store the settings")
    assert "stored" in visitor.note
    app = operated.served.get("/v1/apps/boats")
    assert (app["name"], app["history"], app["requireVersion"]) == (HOSTILE, 7, True)
    assert app["analyticsProperties"] == ["plan", "country"]
    assert app["quota"] == {"keys": 50, "bytes": None}
    assert list(app["queries"]) == ["byTitle"]
    assert visitor.faults() == []
    page.get_by_label("Former versions of each value").fill("many")
    visitor.press("Store the settings")
    assert "history is a whole number" in visitor.text
    assert page.get_by_label("Former versions of each value").input_value() == "many"
    put(operated.served, "/v1/apps/boats", {"history": 9})
    visitor.open("/console/apps/boats")
    put(operated.served, "/v1/apps/boats", {"history": 10})
    visitor.press("Store the settings")
    assert "meanwhile" in visitor.page.get_by_role("alert").inner_text()
    assert operated.served.get("/v1/apps/boats")["history"] == 10


def test_schemas_are_tried_on_what_is_stored_before_they_hold(
    visit: Visit, operated: Operated
) -> None:
    visitor = visit()
    visitor.open("/console/apps/kept")
    schema = '{"note:*": {"type": "object", "required": ["author"]}}'
    visitor.page.get_by_label("Schemas").fill(schema)
    visitor.press("Try the schemas on what is stored")
    assert "do not fit. Nothing was changed" in visitor.text
    misfit = f"/console/data/{operated.planted['userId']}/kept/note%3A10"
    assert visitor.page.locator(f'a[href="{misfit}"]').is_visible()
    assert visitor.page.get_by_label("Schemas").input_value() == schema
    assert visitor.faults() == []
    assert operated.served.get("/v1/apps/kept")["schemas"] == {}
    visitor.page.get_by_label("Schemas").fill('{"note:*": {"type": "nothing"}}')
    visitor.press("Store the settings")
    assert visitor.page.get_by_role("alert").is_visible()


def test_a_key_is_made_shown_once_rotated_and_revoked(visit: Visit, operated: Operated) -> None:
    visitor = visit()
    visitor.open("/console/keys")
    visitor.page.get_by_label("Name, so that you know it again").fill(f"Desk {HOSTILE}")
    visitor.page.get_by_label("users:read").check()
    visitor.press("Make the key")
    key = visitor.page.locator("[data-key]").inner_text()
    assert visitor.faults() == []

    def status(of: str) -> int:
        headers = {"Authorization": f"Bearer {of}"}
        return httpx2.get(f"{operated.served.url}/v1/users", headers=headers).status_code

    assert status(key) == 200
    visitor.page.reload()  # sends the form again
    assert "shown before" in visitor.text
    assert visitor.page.locator("[data-key]").count() == 0
    visitor.open("/console/keys")
    assert key not in visitor.page.content()
    row = visitor.page.locator("tbody tr", has_text="Desk")
    row.locator("summary", has_text="Rotate").click()
    visitor.page.get_by_label("Hours for which the old one stays good").first.fill("1")
    visitor.follow(row.get_by_role("button", name="Rotate the key"))
    second = visitor.page.locator("[data-key]").inner_text()
    assert (second != key, status(key), status(second)) == (True, 200, 200)
    visitor.open("/console/keys")
    row.locator("summary", has_text="Revoke").click()
    visitor.follow(row.get_by_role("button", name="Revoke the key"))
    assert visitor.note == "The key is revoked."
    assert status(second) == 401
    visitor.open("/console/operation/audit?kind=key_revoked")
    visitor.follow(visitor.page.get_by_role("link", name="key:").first)  # who it was
    assert visitor.page.get_by_role("heading", name="API keys").is_visible()
    assert visitor.page.locator("tbody tr").count() == 1


def test_a_leaked_key_is_found_by_itself_and_revoked(visit: Visit, operated: Operated) -> None:
    made = operated.served.post("/v1/api-keys", {"name": "Shop", "scopes": ["users:read"]})
    visitor = visit()
    visitor.open("/console/keys")
    visitor.page.get_by_label("The key, as it was found").fill(made["key"])
    visitor.press("Find whose it is")
    assert "“Shop”" in visitor.note and visitor.page.locator("tbody tr").count() == 1
    assert made["key"] not in visitor.page.content() + visitor.page.url
    assert visitor.faults() == []
    visitor.unfold("Revoke", "tbody")
    visitor.press("Revoke the key")
    visitor.page.get_by_label("The key, as it was found").fill(made["key"])
    visitor.press("Find whose it is")
    assert "No key has this text" in visitor.text
    assert made["key"] not in visitor.page.content()


def test_a_key_that_asks_for_too_much_is_refused_with_what_was_typed(visit: Visit) -> None:
    visitor = visit()
    visitor.open("/console/keys")
    visitor.page.get_by_label("Name, so that you know it again").fill("Both")
    visitor.page.get_by_label("users:read").check()
    visitor.page.get_by_label("Bound to the app").fill("kept")
    visitor.press("Make the key")
    assert "users:read" in visitor.page.get_by_role("alert").inner_text()
    assert visitor.page.get_by_label("users:read").is_checked()


def test_operation_tells_of_deletions_indexes_and_what_was_slow(
    visit: Visit, operated: Operated
) -> None:
    database = operated.served.database
    gone = operated.served.post("/v1/users", {"email": "ledger@example.com"})["id"]
    headers = operated.served.headers
    httpx2.delete(f"{operated.served.url}/v1/users/{gone}", headers=headers)
    database.command("profile", 1, slowms=0)
    operated.served.get("/v1/users", email="ledger@example.com")
    database.command("profile", 0)
    visitor = visit()
    visitor.open("/console/operation")
    assert visitor.page.get_by_role("heading", name="Ready", exact=True).is_visible()
    visitor.open(f"/console/operation/deletions?q={gone}")
    assert visitor.page.url.endswith(gone)
    assert "profiles" in visitor.text
    visitor.open("/console/operation/slow")
    assert "find {email: ?}" in visitor.text
    assert "ledger@example.com" not in visitor.text
    database["users"].create_index([("nobodyAsked", 1)])
    visitor.open("/console/operation/indexes")
    assert "nobodyAsked" in visitor.text
    database["users"].drop_index("nobodyAsked_1")
    visitor.open("/console/operation/indexes?by=bytes")
    sizes = visitor.page.locator("tbody td.n:last-child").all_inner_texts()
    assert len(sizes) == 50
    assert all(re.fullmatch(r"[\d.]+ (B|KiB|MiB)", size) for size in sizes)
