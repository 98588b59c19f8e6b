"""The console without a browser: what it makes of addresses and forms that are nonsense, or not
ours."""

import httpx2
import pytest

from app.console.session import COOKIE
from tests.harness import Api


class Viewer:
    """Somebody whose key is in the console's cookie."""

    def __init__(self, api: Api, key: str) -> None:
        self._api = api
        self.key = key

    async def open(self, path: str = "/console", **params: str) -> httpx2.Response:
        return await self._api.caller(None).get(
            path, params=params, headers={"Cookie": f"{COOKIE}={self.key}"}
        )


@pytest.fixture
async def viewer(api: Api) -> Viewer:
    key = (await api.key("analytics:read")).credential
    assert key is not None
    return Viewer(api, key)


@pytest.mark.parametrize("interval", ["hour", "day", "minute"])
async def test_a_timezone_of_odd_seconds_gives_the_default_view(
    viewer: Viewer, interval: str
) -> None:
    span = {"from": "1890-01-01T00:00:00Z", "to": "1890-01-02T00:00:00Z"}
    page = await viewer.open(**span, interval=interval, tz="Europe/Berlin")
    assert (page.status_code, "no whole quarters" in page.text) == (200, True)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("9999-12-30T00:00:00Z", "9999-12-31T23:59:59.999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
        ("0001-01-01T00:00:00+05:00", "0001-01-02T00:00:00Z"),
        ("0002-01-01T00:00:00Z", "0002-03-01T00:00:00Z"),
        ("2090-01-01T00:00:00Z", "2090-01-02T00:00:00Z"),
    ],
)
async def test_the_ends_of_the_calendar_give_the_default_view(
    viewer: Viewer, start: str, end: str
) -> None:
    page = await viewer.open(**{"from": start, "to": end})
    assert (page.status_code, 'role="alert"' in page.text) == (200, True)
    export = await viewer.open(
        "/console/export/category-counts", **{"from": start, "to": end, "tz": "Asia/Tokyo"}
    )
    assert export.status_code in (200, 404)


@pytest.mark.parametrize(
    "form", ["&".join(f"f{n}=1" for n in range(11)), "key=" + "x" * 9000, "&" * 20]
)
async def test_a_form_of_too_much_gives_the_form_again(api: Api, form: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await api.caller(None).post("/console/sign-in", content=form, headers=headers)
    assert (answer.status_code, '<form method="post"' in answer.text) == (422, True)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 303),
        ({"Origin": "http://satchel.test"}, 303),
        ({"Origin": "https://satchel.test", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "http://satchel.test.evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://other.satchel.test", "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_forms_of_other_sites_are_refused(
    api: Api, viewer: Viewer, headers: dict[str, str], expected: int
) -> None:
    nobody = api.caller(None)
    signed_in = await nobody.post("/console/sign-in", data={"key": viewer.key}, headers=headers)
    signed_out = await nobody.post("/console/sign-out", headers=headers)
    assert (signed_in.status_code, signed_out.status_code) == (expected, expected)
    assert ("set-cookie" in signed_in.headers) == (expected == 303)


@pytest.mark.parametrize("form", ["csv", "json", "ndjson"])
async def test_no_export_is_taken_for_a_page(viewer: Viewer, form: str) -> None:
    export = await viewer.open("/console/export/category-counts", format=form)
    assert (export.status_code, export.headers["x-content-type-options"]) == (200, "nosniff")
