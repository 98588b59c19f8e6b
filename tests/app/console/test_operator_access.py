"""Who may do what at the console: no page for who has not signed in or lacks the scope, nothing by
GET, nothing from other sites."""

import html
import re
from typing import Any

import httpx2
import pytest

from app.console.apps.settings import JSON, LISTS, NUMBERS, QUOTA
from app.console.navigation import ROUTERS
from app.console.people.hanging import secrets_of, shown
from app.console.session import COOKIE
from models.app import AppContent, Quota
from models.auth_identity import AuthIdentity
from models.connection import Connection
from models.refresh_token import RefreshToken
from tests.cast import Cast
from tests.harness import Api

ROUTES: list[Any] = [route for router in ROUTERS for route in router.routes]
GETS = sorted(route.path for route in ROUTES if "GET" in route.methods)
POSTS = sorted(route.path for route in ROUTES if "POST" in route.methods)


def filled(path: str, cast: Cast) -> str:
    """A path with the owner as its person, and something for what else it names."""
    return re.sub(r"\{(\w+)\}", lambda found: {"userId": cast.owner.id}.get(found[1], "x"), path)


async def look(api: Api, key: str | None, path: str, **options: Any) -> httpx2.Response:
    headers = {"Cookie": f"{COOKIE}={key}"} if key else {}
    headers |= options.pop("headers", {})
    method = options.pop("method", "GET")
    return await api.caller(None).request(method, path, headers=headers, **options)


@pytest.mark.parametrize("path", GETS)
async def test_who_has_not_signed_in_is_led_to_the_form_and_back(
    api: Api, cast: Cast, path: str
) -> None:
    place = filled(path, cast)
    for cookie in (None, "sk_nothing", "a.b.c", cast.owner.secret):  # a person who is no admin
        answer = await look(api, cookie, f"{place}?q=1")
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/console?next=%2Fconsole%2F")


@pytest.mark.parametrize("path", GETS)
async def test_a_key_without_the_scope_sees_403(api: Api, cast: Cast, path: str) -> None:
    key = await api.key("analytics:read")
    answer = await look(api, key.secret, filled(path, cast))
    assert (answer.status_code, "This was not done" in answer.text) == (403, True)
    assert "owner@example.com" not in answer.text


@pytest.mark.parametrize("path", POSTS)
async def test_nothing_is_done_from_other_sites_by_get_or_without_rights(
    api: Api, cast: Cast, path: str
) -> None:
    place, admin = filled(path, cast), cast.admin.secret
    form = {"confirm": "owner@example.com", "name": "x"}
    foreign = (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.test"},
    )
    for headers in foreign:
        sent = await look(api, admin, place, method="POST", data=form, headers=headers)
        assert sent.status_code == 403
    if path not in GETS:
        assert (await look(api, admin, place)).status_code in (404, 405)
    reader = await api.key("analytics:read")
    assert (await look(api, reader.secret, place, method="POST", data=form)).status_code == 403
    nobody = await look(api, None, place, method="POST", data=form)
    assert (nobody.status_code, nobody.headers["location"]) == (303, "/console")
    assert (await cast.owner.get("/v1/users/me")).status_code == 200


async def test_a_key_of_the_help_desk_reads_people_and_changes_nothing(
    api: Api, cast: Cast
) -> None:
    key = (await api.key("users:read")).secret
    page = await look(api, key, f"/console/people/{cast.owner.id}")
    assert page.status_code == 200
    assert "owner@example.com" in page.text
    assert "needs the scope <code>data:read</code>" in page.text
    place = f"/console/people/{cast.owner.id}"
    form = {"confirm": "owner@example.com"}
    deleted = await look(api, key, f"{place}/delete", method="POST", data=form)
    ended = await look(api, key, f"{place}/sessions/end", method="POST", data={})
    assert (deleted.status_code, ended.status_code) == (403, 403)
    assert (await look(api, key, f"{place}/rows/activities")).status_code == 403
    data = (await api.key("users:read", "data:read")).secret
    place = f"/v1/users/{cast.owner.id}/apps/notes/data/n"
    await cast.admin.put(place, json={"title": "Kept"})
    seen = f"/console/data/{cast.owner.id}/notes/n"
    assert "Kept" in (await look(api, data, seen)).text
    for action in ("edit", "delete", "restore"):
        form = {"value": "1", "version": "1", "restored": "1"}
        written = await look(api, data, f"{seen}/{action}", method="POST", data=form)
        assert written.status_code == 403
    assert (await look(api, data, "/console/data?app=notes")).status_code == 403
    assert (await cast.admin.get(place)).json() == {"title": "Kept"}


async def test_sign_in_leads_to_no_other_site(api: Api, cast: Cast) -> None:
    for wanted in ("//evil.test", "https://evil.test/console/", "/console/\\evil", "javascript:1"):
        form = {"key": cast.admin.secret, "next": wanted}
        answer = await api.caller(None).post("/console/sign-in", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    form = {"key": cast.admin.secret, "next": "/console/people?q=ann"}
    answer = await api.caller(None).post("/console/sign-in", data=form)
    assert answer.headers["location"] == "/console/people?q=ann"


async def test_malformed_addresses_are_pages_that_say_so(api: Api, cast: Cast) -> None:
    for path in (
        "people/x",
        "people/%2e%2e",
        "people/a%2Fb",
        "people/x/rows/users",
        "people/x/delete",
    ):
        answer = await look(api, cast.admin.secret, f"/console/{path}")
        assert answer.status_code in (404, 422), path
    for cursor in ("x", "%00", "9" * 500):
        answer = await look(api, cast.admin.secret, f"/console/people?cursor={cursor}")
        assert answer.status_code == 422
    long = await look(api, cast.admin.secret, "/console/people", params={"q": "@" * 3000})
    assert long.status_code == 422


async def test_numbers_of_any_length_are_refused_or_passed_over(api: Api, cast: Cast) -> None:
    long, admin = "9" * 5000, cast.admin.secret
    place = f"/console/data/{cast.owner.id}/notes/n"
    await cast.admin.put(f"/v1/users/{cast.owner.id}/apps/notes/data/n", json=1)
    await cast.admin.put("/v1/apps/notes", json={})
    key = {"name": "Desk", "scope": "users:read", "eventsPerSecond": long}
    for path, form, status in (
        ("/console/keys", key, 422),
        (f"{place}/restore", {"restored": long, "version": "1"}, 422),
        ("/console/apps/notes", {"history": long}, 422),
        ("/console/apps/notes/check", {"seen": long}, 200),
    ):
        answer = await look(api, admin, path, method="POST", data=form)
        assert answer.status_code == status, path
    for path in (
        f"/console/data?user={cast.owner.id}&app=notes&gone=1",
        f"/console/people/{cast.owner.id}/rows/activities?",
        "/console/operation/indexes?",
    ):
        for cursor in (long, "-1", "٣", "x"):
            answer = await look(api, admin, f"{path}&cursor={cursor}")
            assert answer.status_code == 200, path


async def test_lists_are_paged_by_how_many_came_before_up_to_a_bound(api: Api, cast: Cast) -> None:
    for number in range(25):
        did = {"appId": "notes", "eventType": f"did-{number:02}"}
        await cast.owner.post("/v1/users/me/activity", json=did)
    place = f"/console/people/{cast.owner.id}/rows/activities"
    first = await look(api, cast.admin.secret, place)
    second = await look(api, cast.admin.secret, f"{place}?cursor=20")
    seen = [
        re.findall(r'"eventType": "(did-\d\d)"', html.unescape(one.text)) for one in (first, second)
    ]
    assert [len(each) for each in seen] == [20, 5] and len({*seen[0], *seen[1]}) == 25
    assert "cursor=20" in first.text and "Last page" in second.text


def test_every_setting_of_an_app_is_in_the_form() -> None:
    """Storing replaces all of them: one that is missing would be reset."""
    names = {field.alias for field in AppContent.model_fields.values()}
    assert names == {"name", "requireVersion", "quota", *NUMBERS, *LISTS, *JSON}
    assert {field.alias for field in Quota.model_fields.values()} == QUOTA.keys()


def test_secrets_are_known_by_how_they_are_declared() -> None:
    assert secrets_of(RefreshToken) == {"tokenHash"}
    assert secrets_of(Connection) == {"accessToken"}
    assert secrets_of(AuthIdentity) == set()
    row = {"_id": 1, "accessToken": {"c": b"x"}, "label": "Bank", "raw": b"abc"}
    assert shown(Connection, row) == {"_id": 1, "label": "Bank", "raw": "3 bytes"}


async def test_a_merge_at_the_console_needs_what_the_route_needs(api: Api, cast: Cast) -> None:
    source, into = cast.owner.id, cast.stranger.id
    place = f"/console/people/{source}/merge"
    reader = (await api.key("users:read")).secret
    merger = (await api.key("users:merge")).secret
    assert (await look(api, reader, f"{place}?into={into}")).status_code == 403
    # Who may merge and not read sees the plan, and nothing of who they are.
    plan = await look(api, merger, f"{place}?into={into}")
    assert plan.status_code == 200
    assert f"<code>{source}</code>" in plan.text and "@example.com" not in plan.text
    form = {"into": into, "confirm": source, "seen": _seen(plan.text), "keep-email": "target"}
    refused = await look(api, reader, place, method="POST", data=form)
    assert refused.status_code == 403
    for kind in re.findall(r'name="keep-(\w+)"', plan.text):
        form[f"keep-{kind}"] = "target"
    done = await look(api, merger, place, method="POST", data=form)
    assert done.status_code == 303, done.text
    assert (await cast.admin.get(f"/v1/users/{source}")).status_code == 410


def _seen(page: str) -> str:
    (found,) = re.findall(r'name="seen" value="(\w+)"', page)
    return str(found)
