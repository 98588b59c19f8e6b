"""A help desk at the console: people are found, looked at, signed out, and deleted."""

import shutil
from collections.abc import Callable
from time import sleep

import httpx2
import pytest
from playwright.sync_api import expect

from app.console.people.export import EXPORT
from app.main import declared_rules
from tests.app.console.conftest import Operated
from tests.app.console.visitor import Visitor

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (make test installs it)"
)
Visit = Callable[..., Visitor]


def code_for(operated: Operated, address: str) -> str:
    """The code that was printed for somebody, as development does."""
    for _ in range(600):
        lines = [line for line in operated.served.log.read_text().splitlines() if address in line]
        if lines:
            return lines[-1].split()[1]
        sleep(0.1)
    raise AssertionError("no code was printed")


def signed_in(operated: Operated, address: str) -> httpx2.Response:
    url = f"{operated.served.url}/v1/auth/otp"
    challenge = httpx2.post(url, json={"email": address}).json()["challengeId"]
    body = {"challengeId": challenge, "code": code_for(operated, address), "deviceInfo": "A <b>"}
    return httpx2.post(f"{url}/verify", json=body)


def test_an_admin_signs_in_by_code_and_another_person_is_refused(
    visit: Visit, operated: Operated
) -> None:
    boss = signed_in(operated, "boss@example.com").json()
    operated.served.database["users"].update_one(
        {"email": "boss@example.com"}, {"$set": {"role": "admin"}}
    )
    operated.served.log.write_text("")
    operated.served.database["phoneotps"].delete_many({})
    operated.served.database["budgets"].delete_many({})
    visitor = visit(None)
    visitor.open(f"/console/people/{boss['userId']}")
    for address in ("boss@example.com", "nobody-special@example.com"):
        visitor.page.get_by_label("Your email address").fill(address)
        visitor.press("Send me a code")
        assert visitor.faults() == []
        visitor.page.get_by_label("Code").fill(code_for(operated, address))
        visitor.press("Sign in with the code")
        if address.startswith("boss"):
            # led back to where they wanted to go
            assert visitor.page.url.endswith(boss["userId"])
            visitor.press("Sign out")
            visitor.complaints.clear()
    assert "the console is for admins" in visitor.text
    sessions = operated.served.database["refreshtokens"]
    assert sessions.count_documents({"deviceInfo": "Console"}) == 0  # both are ended again


def test_a_persons_token_is_renewed_while_they_work(visit: Visit, operated: Operated) -> None:
    pair = signed_in(operated, "shift@example.com").json()
    operated.served.database["users"].update_one(
        {"email": "shift@example.com"}, {"$set": {"role": "admin"}}
    )
    visitor = visit(None)
    cookie = {"domain": "127.0.0.1", "path": "/console", "httpOnly": True}
    visitor.page.context.add_cookies(
        [
            {**cookie, "name": "satchel_console", "value": "a.b.c"},
            {**cookie, "name": "satchel_console_renewal", "value": pair["refreshToken"]},
        ]  # type: ignore[list-item]
    )
    assert visitor.open("/console/people") == 200
    kept = {one["name"]: one["value"] for one in visitor.page.context.cookies()}
    assert kept["satchel_console"] != "a.b.c"
    assert kept["satchel_console_renewal"] != pair["refreshToken"]
    visitor.open(f"/console/people/{pair['userId']}/sessions")
    visitor.unfold("End all sessions")
    visitor.press("End every session of theirs")  # their own
    assert visitor.page.get_by_label("API key").is_visible()


def test_a_session_is_ended_and_the_trail_says_by_whom(visit: Visit, operated: Operated) -> None:
    pair = signed_in(operated, "lost-phone@example.com").json()
    visitor = visit()
    visitor.open("/console/people?q=lost-phone@example.com")
    visitor.follow(visitor.page.get_by_role("link", name="Sessions and sign-in"))
    assert "lost-phone@example.com" in visitor.text
    visitor.unfold("End", "tbody")
    visitor.press("End this session")
    assert visitor.note == "The session is ended."
    refreshed = httpx2.post(
        f"{operated.served.url}/v1/auth/refresh", json={"refreshToken": pair["refreshToken"]}
    )
    assert refreshed.status_code == 401
    (told,) = operated.served.get("/v1/admin/audit", userId=pair["userId"], kind="session_ended")[
        "items"
    ]
    assert (told["by"].split(":")[0], told["detail"]) == ("key", {"sessionId": pair["sessionId"]})


def test_those_who_are_inactive_are_found_and_marked(visit: Visit, operated: Operated) -> None:
    names = [("active", "Awake Walker"), ("inactive", "Asleep Walker")]
    for status, name in names:
        operated.served.post("/v1/users", {"name": name, "status": status})
    visitor = visit()
    visitor.open("/console/people?q=A")
    visitor.page.get_by_label("Status").select_option("inactive")
    visitor.page.get_by_label("Sought").fill("As")
    visitor.press("Find")
    assert "Asleep Walker" in visitor.text  # found alone, and opened
    visitor.open("/console/people?status=inactive")
    assert "Asleep Walker" in visitor.text and "Awake Walker" not in visitor.text
    assert visitor.page.locator("tbody .flag").all_inner_texts() == ["inactive"]
    assert visitor.page.get_by_label("Status").input_value() == "inactive"
    assert visitor.faults() == []


def test_a_person_is_deleted_by_typing_who_they_are(visit: Visit, operated: Operated) -> None:
    gone = operated.served.post("/v1/users", {"email": "gone@example.com", "name": "Gone"})
    visitor = visit()
    visitor.open(f"/console/people/{gone['id']}/delete")
    assert "profiles" in visitor.text
    confirm = visitor.page.get_by_label("Type gone@example.com to confirm")
    confirm.fill("somebody@example.com")
    visitor.press("Delete this person and all that hangs off them")
    assert "nothing was deleted" in visitor.page.get_by_role("alert").inner_text()
    assert operated.served.get(f"/v1/users/{gone['id']}")["id"] == gone["id"]
    visitor.complaints.clear()  # that it was 422
    confirm.fill("gone@example.com")
    visitor.press("Delete this person and all that hangs off them")
    assert visitor.note == "The person is deleted."
    assert visitor.faults() == []
    if operated.served.processes.get("worker") is None:
        operated.served.start("worker")
    # looked at again by the page itself
    expect(visitor.page.get_by_text("It is final")).to_be_visible(timeout=60_000)
    assert visitor.open(f"/console/people/{gone['id']}") == 404


def test_a_person_who_was_changed_meanwhile_is_not_deleted(
    visit: Visit, operated: Operated
) -> None:
    user = operated.served.post("/v1/users", {"email": "meanwhile@example.com"})
    visitor = visit()
    visitor.open(f"/console/people/{user['id']}/delete")
    headers = {**operated.served.headers, "Content-Type": "application/merge-patch+json"}
    place = f"{operated.served.url}/v1/users/{user['id']}"
    httpx2.patch(place, json={"name": "New"}, headers=headers)
    visitor.page.get_by_label("Type meanwhile@example.com to confirm").fill("meanwhile@example.com")
    visitor.press("Delete this person and all that hangs off them")
    assert visitor.page.get_by_role("alert").is_visible()
    assert httpx2.get(place, headers=headers).status_code == 200


def test_rows_show_no_secret(visit: Visit, operated: Operated) -> None:
    pair = signed_in(operated, "secretive@example.com").json()
    row = operated.served.database["refreshtokens"].find_one({"deviceInfo": "A <b>"})
    visitor = visit()
    assert visitor.open(f"/console/people/{pair['userId']}/rows/refreshtokens") == 200
    assert '"deviceInfo": "A <b>"' in visitor.text
    assert row is not None
    assert row["tokenHash"] not in visitor.text
    assert "tokenHash" not in visitor.text


def test_a_name_and_an_email_are_put_right(visit: Visit, operated: Operated) -> None:
    user = operated.served.post("/v1/users", {"email": "tpyo@example.com", "name": "Tpyo"})
    visitor = visit()
    visitor.open(f"/console/people?q={user['email']}")
    visitor.unfold("Change name or email")
    visitor.page.get_by_label("Name").fill("Typo")
    visitor.page.get_by_label("Email").fill("typo@example.com")
    visitor.press("Change it")
    assert visitor.note == "It is changed."
    found = operated.served.get(f"/v1/users/{user['id']}")
    assert (found["name"], found["email"]) == ("Typo", "typo@example.com")
    visitor.unfold("Change name or email")
    visitor.page.get_by_label("Email").fill("ann@example.com")  # somebody else's
    visitor.press("Change it")
    assert "email" in visitor.page.get_by_role("alert").inner_text()


def test_people_are_found_by_name_phone_id_and_role(visit: Visit, operated: Operated) -> None:
    made = operated.served.post(
        "/v1/users", {"name": "Zebedee Q.", "valuUserId": "valu-77", "role": "creator"}
    )
    visitor = visit()
    for query in ("q=zebed", f"q={made['id']}", "q=valu-77&by=valuUserId", "q=Zebed&role=creator"):
        visitor.open(f"/console/people?{query}")
        assert visitor.page.get_by_role("heading", name="Zebedee Q.").is_visible(), query
    place = f"{operated.served.url}/v1/apps/shop/external-ids/customer-9"
    linked = {"userId": made["id"]}
    assert httpx2.put(place, json=linked, headers=operated.served.headers).is_success
    visitor.open("/console/people?q=shop:customer-9&by=external")
    assert visitor.page.get_by_role("heading", name="Zebedee Q.").is_visible()
    visitor.open("/console/people?q=Zebed&role=brand")
    assert "Nobody is found." in visitor.text
    visitor.open("/console/people?role=creator&from=2020-01-01&to=2021-01-01")
    assert "Nobody is found." in visitor.text


@pytest.mark.skipif(EXPORT not in declared_rules(), reason="the API does not export people")
def test_everything_of_a_person_is_exported_as_lines_and_as_an_archive(
    visit: Visit, operated: Operated
) -> None:
    visitor = visit()
    visitor.open(f"/console/people/{operated.planted['userId']}")
    for name, begins in (("archive", b"PK"), ("lines that the import takes", b'{"kind":"users"')):
        with visitor.page.expect_download() as waiting:
            visitor.page.get_by_role("link", name=name).click()
        assert waiting.value.path().read_bytes().startswith(begins)


def test_a_person_is_made_inactive_and_active_again(visit: Visit, operated: Operated) -> None:
    user = operated.served.post("/v1/users", {"email": "paused@example.com", "name": "Paused"})
    visitor = visit()
    visitor.open(f"/console/people/{user['id']}")
    for state in ("inactive", "active"):
        visitor.unfold(f"Make them {state}")
        visitor.press(f"Make this person {state}")
        assert visitor.note == f"The person is {state}."
        assert operated.served.get(f"/v1/users/{user['id']}")["status"] == state
        assert visitor.faults() == []


def test_phone_numbers_are_in_the_list_and_on_the_page(visit: Visit, operated: Operated) -> None:
    number = "+14155550188"
    made = httpx2.put(
        f"{operated.served.url}/v1/users/by/phone/{number.replace('+', '%2B')}",
        json={"user": {"name": "Phoney Q."}, "verified": ["phone"]},
        headers=operated.served.headers,
    )
    assert made.is_success, made.text
    visitor = visit()
    visitor.open("/console/people?by=prefix&q=Pho&role=")
    assert number in visitor.text  # one who is found alone is opened
    visitor.open("/console/people")
    assert number in visitor.page.get_by_role("row").filter(has_text="Phoney Q.").inner_text()


def test_tokens_of_servers_are_ended_where_there_is_no_session(
    visit: Visit, operated: Operated
) -> None:
    user = operated.served.post("/v1/users", {"email": "minted@example.com"})
    operated.served.post(f"/v1/users/{user['id']}/sessions", {})
    visitor = visit()
    visitor.open(f"/console/people/{user['id']}/sessions")
    assert "No device has a session." in visitor.text
    assert "A token that an app's server asked for is no session" in visitor.text
    visitor.unfold("End all sessions")
    visitor.press("End every session of theirs")
    row = operated.served.database["users"].find_one({"email": "minted@example.com"})
    assert row is not None and row["sessionsEndedAt"] is not None


def test_who_cannot_be_deleted_for_their_cards_is_led_to_their_account(
    visit: Visit, operated: Operated
) -> None:
    account = operated.planted["accountId"]
    (holder,) = operated.served.get(f"/v1/accounts/{account}/users")["items"]
    visitor = visit()
    visitor.open(f"/console/people/{holder['id']}/delete")
    assert "It is forbidden" in visitor.text
    visitor.follow(visitor.page.get_by_role("link", name="their account"))
    assert visitor.page.url.endswith(account)


def test_an_email_that_only_an_account_has_told_is_said_to_find_nobody(
    visit: Visit,
) -> None:
    visitor = visit()
    visitor.open("/console/people?q=holder@example.com")
    assert "seek by the name" in visitor.text
