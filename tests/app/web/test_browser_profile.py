"""One browser, two people: real chromium with one profile folder shows and overwrites nothing of
the first one."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, Playwright, sync_playwright

from tests.serving import Served, served

VALUE = "/v1/users/me/apps/notes/data/settings"
DOCUMENTS = ["/v1/users/me", "/v1/users/me/profile", "/v1/users/me/preferences", VALUE]
MINE = [
    *DOCUMENTS,
    "/v1/users/me/complete",
    "/v1/users/me/deletion-plan",
    "/v1/users/me/activity",
    "/v1/users/me/apps/notes/data",
    "/v1/users/me/profile?expand=user",
]
ASK = """async ([path, token, method, headers, body]) => {
  const answer = await fetch(path, {
    method, body, headers: {...headers, Authorization: `Bearer ${token}`}});
  return [answer.status, answer.headers.get("ETag"), await answer.text()];
}"""

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not on PATH (make test installs it)"
)


@pytest.fixture(scope="module")
def satchel(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(mongodb_uri, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


def person(satchel: Served, name: str) -> str:
    """The token of a new user, who has something everywhere."""
    with httpx2.Client(base_url=satchel.url, headers=satchel.headers) as admin:
        user = admin.post("/v1/users", json={"name": name, "email": f"{name}@example.com"}).json()[
            "id"
        ]
        token = str(admin.post(f"/v1/users/{user}/sessions", json={}).json()["accessToken"])
        admin.put(f"/v1/users/{user}/apps/notes/data/settings", json={"owner": name})
        admin.put(f"/v1/users/{user}/profile", json={"displayName": name})
        admin.post(f"/v1/users/{user}/activity", json={"appId": "notes", "eventType": f"by-{name}"})
    return token


def ask(
    page: Page, token: str, path: str, method: str = "GET", body: Any = None, **headers: str
) -> Any:
    """Status, ETag and text of what the browser gets, its own cache between."""
    sent = {"Content-Type": "application/json", **headers} if body is not None else headers
    return page.evaluate(
        ASK, [path, token, method, sent, None if body is None else json.dumps(body)]
    )


@contextmanager
def browsing(playwright: Playwright, satchel: Served, folder: Path) -> Iterator[Page]:
    """A browser with this profile folder, started and in the end closed."""
    context = playwright.chromium.launch_persistent_context(
        folder, executable_path=shutil.which("chromium"), args=["--no-sandbox"]
    )
    try:
        page = context.new_page()
        page.goto(f"{satchel.url}/livez")
        yield page
    finally:
        context.close()


def test_the_second_person_sees_and_overwrites_their_own_alone(
    playwright: Playwright, satchel: Served, tmp_path: Path
) -> None:
    ann, bob = person(satchel, "ann"), person(satchel, "bob")
    with browsing(playwright, satchel, tmp_path) as page:
        hers = {path: ask(page, ann, path) for path in MINE}
        assert {answer[0] for answer in hers.values()} == {200}
        see_and_write(page, satchel, ann, bob, hers)
    with browsing(playwright, satchel, tmp_path) as page:  # closed and started again
        see_and_write(page, satchel, ann, bob, hers)


def see_and_write(page: Page, satchel: Served, ann: str, bob: str, hers: dict[str, Any]) -> None:
    """Bob after Ann, at one address each."""
    with httpx2.Client(
        base_url=satchel.url, headers={"Authorization": f"Bearer {bob}"}
    ) as uncached:
        for path in MINE:
            assert ask(page, bob, path)[::2] == [200, uncached.get(path).text], path
            assert ask(page, bob, path)[2] != hers[path][2] or path.endswith(
                ("plan", "preferences")
            ), path
            assert ask(page, ann, path)[:2] == hers[path][:2], path
            assert ask(page, "no-token", path)[0] == 401, path
        for path in DOCUMENTS:
            seen = ask(page, bob, path)
            assert seen[1] != hers[path][1], path
            known = ask(page, bob, path, **{"If-None-Match": hers[path][1]})
            assert known == seen, path
            method = "PATCH" if path == "/v1/users/me" else "PUT"
            guard = {"If-Match": hers[path][1]}
            if method == "PATCH":
                guard["Content-Type"] = "application/merge-patch+json"
            refused = ask(page, bob, path, method, {}, **guard)
            assert (refused[0], refused[1]) == (412, seen[1]), path
            assert uncached.get(path).text == seen[2]


def test_what_the_browser_has_is_not_shown_once_it_changed(
    playwright: Playwright, satchel: Served, tmp_path: Path
) -> None:
    """`Last-Modified` alone let a browser show a value for a tenth of its age without asking."""
    cid = person(satchel, "cid")
    with browsing(playwright, satchel, tmp_path) as page:
        assert ask(page, cid, VALUE)[2] == '{"owner":"cid"}'
        httpx2.put(
            satchel.url + VALUE, json={"owner": "new"}, headers={"Authorization": f"Bearer {cid}"}
        )
        assert ask(page, cid, VALUE)[2] == '{"owner":"new"}'
