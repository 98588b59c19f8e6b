"""Pages of any origin may send events with a write key; nothing else of Satchel's is opened by
it."""

from typing import Any

import pytest

from tests.conftest import MakeApi
from tests.described import OPERATIONS
from tests.factories.operations import request_of
from tests.factories.segment import basic, write_key
from tests.harness import Api

SHOP = "https://shop.example"
KINDS = ("track", "identify", "page", "screen", "group", "alias")
LETTERS = {f"/v1/{kind[0]}": kind for kind in KINDS}
EVENTS = [
    *LETTERS,
    *(f"/v1/{kind}" for kind in KINDS),
    "/v1/b",
    "/v1/batch",
    "/beacon/v1/batch",
    "/v1/m",
]
CONFIGURATION = ["/v1/projects/sk_web/settings", "/sourceConfig", "/sourceConfig/"]
OPEN = {("POST", path) for path in EVENTS} | {("GET", path) for path in CONFIGURATION}
HEADERS = [
    "authorization,content-type",
    "authorization,content-type,x-retry-count",
    "anonymousid,authorization,content-type,rsa-recovered,rsa-retry-attempt,sentat",
]
ELSEWHERE = sorted(
    name
    for name in OPERATIONS
    if tuple(name.split(" ")) not in OPEN and name != "GET /v1/projects/{writeKey}/settings"
)


async def preflight(
    api: Api, method: str, path: str, origin: str = SHOP, headers: str = HEADERS[0]
) -> Any:
    sent = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }
    return await api.client.options(path, headers=sent)


def let_in(answer: Any) -> str | None:
    allowed: str | None = answer.headers.get("access-control-allow-origin")
    return allowed


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize(("method", "path"), sorted(OPEN))
async def test_any_page_may_send_events_with_the_headers_of_the_libraries(
    api: Api, method: str, path: str, headers: str
) -> None:
    answer = await preflight(api, method, path, headers=headers)
    assert (answer.status_code, let_in(answer)) == (200, "*")
    assert answer.headers["access-control-allow-headers"] == headers
    assert "access-control-allow-credentials" not in answer.headers
    assert int(answer.headers["access-control-max-age"]) >= 3600


@pytest.mark.parametrize("route", ELSEWHERE)
async def test_nothing_else_is_opened(api: Api, route: str) -> None:
    method, path, options = request_of(
        route,
        "f" * 24,
        **dict.fromkeys(
            ("accountId", "cardId", "connectionId", "profileId", "bankAccountId"), "f" * 24
        ),
        service="github",
    )
    assert let_in(await preflight(api, method, path)) is None
    options["headers"] = {**options.get("headers", {}), "Origin": SHOP}
    assert let_in(await api.client.request(method, path, **options)) is None


@pytest.mark.parametrize(
    "path",
    ["/console", "/docs", "/openapi.json", "/v1/projects", "/v1/projects/x/members/settings"],
)
async def test_no_page_of_ours_and_no_neighbour_is_opened(api: Api, path: str) -> None:
    assert let_in(await api.client.get(path, headers={"Origin": SHOP})) is None
    assert let_in(await preflight(api, "GET", path)) is None


async def test_a_page_may_do_no_more_at_the_routes_of_events_than_send_them(api: Api) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await preflight(api, method, "/v1/track")).status_code == 400
        assert (await preflight(api, method, "/v1/projects/sk_web/settings")).status_code == 400


async def test_a_page_can_read_what_it_is_told(api: Api) -> None:
    """Else its library cannot tell a wrong key from a lost connection, and sends for ever."""
    key = await write_key(api)
    headers = {"Origin": SHOP, "Content-Type": "text/plain"}
    good = await key.post(
        "/v1/t", json={"event": "e", "anonymousId": "a"}, headers=basic(key) | headers
    )
    wrong = await api.client.post(
        "/v1/t", json={"event": "e", "writeKey": "sk_nobodys"}, headers=headers
    )
    large = await key.post("/v1/t", content=b"x" * (1024 * 1024 + 1), headers=basic(key) | headers)
    assert [(answer.status_code, let_in(answer)) for answer in (good, wrong, large)] == [
        (200, "*"),
        (401, "*"),
        (413, "*"),
    ]
    assert "Retry-After" in good.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {SHOP: "*", "https://evil.example": "*", "null": "*"}),
        ({"write_key_origins": [SHOP]}, {SHOP: SHOP, "https://evil.example": None}),
        ({"write_key_origins": []}, {SHOP: None}),
        (
            {"write_key_origins": [], "cors_origins": [SHOP]},
            {SHOP: SHOP, "https://evil.example": None},
        ),
        (
            {"write_key_origins": ["https://blog.example"], "cors_origins": [SHOP]},
            {SHOP: SHOP, "https://evil.example": None},
        ),
    ],
    ids=["by default", "narrowed", "closed", "closed but for those of everything", "both"],
)
async def test_the_setting_says_whose_pages(
    make_api: MakeApi, settings: Any, expected: dict[str, str | None]
) -> None:
    api = await make_api(**settings)
    for origin, allowed in expected.items():
        assert let_in(await preflight(api, "POST", "/v1/t", origin)) == allowed
        assert let_in(await api.client.get("/sourceConfig", headers={"Origin": origin})) == allowed
        whole = SHOP if origin in settings.get("cors_origins", []) else None
        assert let_in(await preflight(api, "PUT", "/v1/users/me/profile", origin)) == whole


async def test_whose_pages_may_send_events_may_do_nothing_else(make_api: MakeApi) -> None:
    api = await make_api(cors_origins=[SHOP], write_key_origins=["https://blog.example"])
    answer = await api.client.get("/v1/users/me", headers={"Origin": "https://blog.example"})
    assert (answer.status_code, let_in(answer)) == (401, None)


OF_EVERY_PAGE = {
    *("cache-control", "content-language", "content-length", "content-type", "expires"),
    *("last-modified", "pragma", "vary", "transfer-encoding", "x-content-type-options"),
}
"""What a browser lets any page read (Fetch, CORS-safelisted response headers), or keeps to
itself."""


async def test_a_page_reads_whatever_header_it_is_answered(make_api: MakeApi) -> None:
    api = await make_api(cors_origins=[SHOP])
    admin = await api.key("admin")
    user = (await admin.post("/v1/users", json={"name": "Ann"})).json()["id"]
    mine, origin = f"/v1/users/{user}", {"Origin": SHOP}
    value, patch = f"{mine}/apps/notes/data/k", {**origin, "Content-Type": "text/plain"}
    await admin.put("/v1/apps/notes", json={"quota": {"keys": 10}})
    answers = [
        await admin.put(value, json={"a": "b" * 2000}, headers=origin),
        await admin.get(value, headers={**origin, "Accept-Encoding": "gzip"}),
        await admin.put(value, json=1, headers={**origin, "If-Match": '"7"'}),
        await admin.request("PATCH", value, content=b"{}", headers=patch),
        await admin.request("PATCH", f"{mine}/complete", headers=origin),
        await admin.get(f"{mine}/export", headers=origin),
        await admin.get("/v1/analytics/event-counts", headers=origin),
        await admin.post("/v1/users", json={}, headers=origin),
        await admin.delete(mine, headers=origin),
        await api.client.get(mine, headers=origin),
    ]
    assert [answer.status_code for answer in answers] == [
        *(201, 200, 412, 415, 405, 200, 200, 201, 200, 401)
    ]
    for answer in answers:
        assert let_in(answer) == SHOP
        told = answer.headers["access-control-expose-headers"].lower().split(", ")
        kept = {name for name in answer.headers if not name.startswith("access-control-")}
        assert kept - OF_EVERY_PAGE <= set(told)
