"""What browsers' libraries send and ask: short paths, beacons, settings; chromium has its say in
tests/clients."""

from typing import Any

import pytest

from tests.conftest import MakeApi
from tests.factories.segment import DONE, TRACK, basic, stored, write_key
from tests.harness import Api

CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "t": ({"type": "track", "event": "paid"}, "paid"),
    "p": ({"type": "page", "name": "Home"}, "Viewed Home Page"),
    "i": ({"type": "identify", "traits": {"plan": "team"}}, "identify"),
    "g": ({"type": "group", "groupId": "g-1"}, "group"),
    "s": ({"type": "screen", "name": "Home"}, "Viewed Home Screen"),
    "a": ({"type": "alias", "previousId": "x"}, "alias"),
}
TEXT = {"Content-Type": "text/plain"}


@pytest.mark.parametrize("by", ["header", "body", "query"])
@pytest.mark.parametrize("letter", CALLS)
async def test_one_letter_stands_for_the_kind_of_call(api: Api, letter: str, by: str) -> None:
    key, (item, name) = await write_key(api), CALLS[letter]
    body = {**item, "anonymousId": "a-1", "userId": "crm-7", "messageId": "m-1"}
    body |= {"writeKey": key.credential} if by == "body" else {}
    headers = TEXT | (basic(key) if by == "header" else {})
    params = {"writeKey": key.credential} if by == "query" else {}
    for _ in range(2):  # as after a lost answer
        answer = await api.client.post(f"/v1/{letter}", json=body, headers=headers, params=params)
        assert (answer.status_code, answer.json()) == (200, DONE)
    assert [(row["eventName"], row["messageId"]) for row in await stored()] == [(name, "m-1")]


@pytest.mark.parametrize("path", ["/v1/b", "/beacon/v1/batch"])
async def test_batches_of_browsers_are_batches(api: Api, path: str) -> None:
    key = await write_key(api)
    body = {"batch": [TRACK, {**TRACK, "messageId": "m-2"}]}
    answer = await api.client.post(
        path, json=body, headers=TEXT, params={"writeKey": key.credential}
    )
    assert (answer.status_code, answer.json()) == (200, DONE)
    assert [row["messageId"] for row in await stored()] == ["m-1", "m-2"]


@pytest.mark.parametrize(
    "scopes", [("admin",), ("events:write", "users:write"), ("events:write", "data:read")]
)
async def test_a_key_that_can_do_more_does_not_pass_in_a_url(
    api: Api, scopes: tuple[str, ...]
) -> None:
    key = await api.key(
        *scopes, app_id=None if "events:write" not in scopes or "users:write" in scopes else "notes"
    )
    params = {"writeKey": key.credential, "appId": "notes"}
    answer = await api.client.post("/v1/t", json=TRACK, headers=TEXT, params=params)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert answer.json()["message"] == answer.json()["detail"]
    assert await stored() == []


async def test_the_header_goes_before_the_query(api: Api) -> None:
    key = await write_key(api)
    answer = await api.client.post(
        "/v1/t", json=TRACK, headers=basic(key), params={"writeKey": "sk_nobodys"}
    )
    assert answer.status_code == 200
    wrong = await api.client.post("/v1/t", json=TRACK, params={"writeKey": "sk_nobodys"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("public", "protocol", "host"),
    [
        (None, "http", "shop.example:8443"),
        ("https://satchel.example/in/", "https", "satchel.example/in"),
    ],
)
async def test_segments_settings_say_where_to_send(
    make_api: MakeApi, public: str | None, protocol: str, host: str
) -> None:
    api = await make_api(public_url=public)
    answer = await api.client.get(
        "/v1/projects/sk_web-1/settings", headers={"Host": "shop.example:8443"}
    )
    told = {"apiKey": "sk_web-1", "apiHost": f"{host}/v1", "protocol": protocol}
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["integrations"] == {"Segment.io": told}
    assert answer.json()["metrics"] == {"sampleRate": 0}


@pytest.mark.parametrize("key", ["<script>", "a" * 129, "a b", "%00", "é"])
async def test_what_cannot_be_a_key_has_no_settings(api: Api, key: str) -> None:
    answer = await api.client.get(f"/v1/projects/{key}/settings")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "path",
    ["/sourceConfig", "/sourceConfig/?p=npm&v=3.34.1&writeKey=sk_web&lockPluginsVersion=true"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_rudders_source_has_no_destinations_and_is_there_for_its_ad_blocker_test(
    api: Api, path: str, method: str
) -> None:
    answer = await api.client.request(method, path)
    assert answer.status_code == 200
    if method == "GET":
        source = answer.json()["source"]
        assert (source["enabled"], source["destinations"]) == (True, [])
        assert source["config"]["statsCollection"] == {
            "errors": {"enabled": False},
            "metrics": {"enabled": False},
        }


async def test_segments_figures_about_itself_are_taken_and_thrown_away(api: Api) -> None:
    sent = {
        "series": [{"type": "Counter", "metric": "analytics_js.invoke", "value": 1, "tags": {}}]
    }
    answer = await api.client.post("/v1/m", json=sent, headers=TEXT)
    assert (answer.status_code, answer.json()) == (200, DONE)
    assert await stored() == []
