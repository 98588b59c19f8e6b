"""Whatever goes wrong, a browser gets a page that says what, and what to do; scripts get JSON."""

from typing import Any

import httpx2
import pytest

from app.console.session import COOKIE
from app.database import UNREACHED
from app.errors import Unavailable
from app.identity.authenticator import Authenticator
from models.user import User
from tests.cast import Cast
from tests.harness import Api

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
ELSEWHERE = {"Sec-Fetch-Site": "cross-site"}


async def look(api: Api, key: str | None, path: str, **options: Any) -> httpx2.Response:
    cookie = {"Cookie": f"{COOKIE}={key}"} if key else {}
    headers = {**cookie, **options.pop("headers", {})}
    method = options.pop("method", "GET")
    return await api.caller(None).request(method, path, headers=headers, **options)


async def busy(*_: object, **__: object) -> None:
    raise Unavailable("too many <requests>", 3)


async def broken(*_: object, **__: object) -> None:
    raise RuntimeError("planted")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "says"),
    [
        ("GET", "/console/nothing", {}, 404, "There is nothing at this path"),
        ("GET", "/console/apps/notes/check", {}, 405, "Begin again from the page with the form"),
        ("POST", "/console/apps/notes/check", ELSEWHERE, 403, "posted from another site"),
        ("POST", "/console/sign-in/code", ELSEWHERE, 403, "posted from another site"),
    ],
)
async def test_a_refusal_from_outside_of_the_pages_is_a_page(
    api: Api,
    cast: Cast,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    says: str,
) -> None:
    admin = cast.admin.secret
    answer = await look(api, admin, path, method=method, headers={**BROWSER, **headers})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert '<main id="main"' in answer.text and says in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert len(answer.content) == int(answer.headers["content-length"])
    plain = await look(api, admin, path, method=method, headers=headers)
    assert (plain.status_code, plain.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    head = await look(api, admin, path, method="HEAD", headers={**BROWSER, **headers})
    assert head.content == b""


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_busy_is_a_page_that_says_when_to_come_again(
    api: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(Authenticator, "authenticate", busy)
    place = "/console/people" if method == "GET" else "/console/keys"
    answer = await look(api, cast.admin.secret, place, method=method, headers=BROWSER)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert "Too many &lt;requests&gt;." in answer.text
    told = "load this page again" if method == "GET" else "It is not known whether this was done"
    assert told in answer.text


async def test_what_nobody_expected_is_a_page(
    api: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(User, "list_newest", broken)
    answer = await look(api, cast.admin.secret, "/console/people", headers=BROWSER)
    assert answer.status_code == 500
    assert "This was not answered" in answer.text and "planted" not in answer.text


async def test_the_gate_answers_with_a_page(api: Api) -> None:
    api.app.state.waits_for = UNREACHED
    answer = await look(api, None, "/console/sign-in/code", method="POST", headers=BROWSER)
    assert answer.status_code == 503
    assert "The database cannot be reached." in answer.text


async def test_other_paths_are_no_pages(api: Api) -> None:
    for path in ("/v1/nothing", "/consoles"):
        answer = await look(api, None, path, headers=BROWSER)
        assert answer.headers["content-type"] == "application/problem+json"
