"""Names that a URL cannot carry: dot segments, which parsers take away, and encoded slashes."""

from typing import Any

import pytest

from models.app_data import AppData
from tests.cast import Cast
from tests.harness import Api

DATA = "/v1/users/me/apps/notes/data"


async def raw(api: Api, credential: str | None, method: str, path: str) -> tuple[int, Any]:
    """Send a path as it is; what stands between the slashes is decoded by the server alone."""
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    request = api.client.build_request(method, "/", headers=headers, content=b"1")
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = await api.client.send(request)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("dots", ["%2e", "%2E", "%2e%2E", "%2e."])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_dot_segments_are_no_names(cast: Cast, api: Api, method: str, dots: str) -> None:
    for path, name in (
        (f"{DATA}/{dots}", "dataKey"),
        (f"/v1/users/me/apps/{dots}/data/k", "appId"),
    ):
        status, body = await raw(api, cast.owner.credential, method, path)
        assert (status, body["errors"][0]["pointer"]) == (422, f"path:{name}")
    assert await AppData.raw().count_documents({}) == 0


@pytest.mark.parametrize("name", ["...", "..a", ".a", "a.", "a..b", "-", "~", "a" * 256, "." * 256])
async def test_names_with_dots_in_them_are_names(cast: Cast, api: Api, name: str) -> None:
    status, _ = await raw(api, cast.owner.credential, "PUT", f"{DATA}/{name}")
    assert status == 201
    assert (await raw(api, cast.owner.credential, "GET", f"{DATA}/{name}")) == (200, 1)


@pytest.mark.parametrize("name", ["a" * 257, "." * 257, ".." + "a" * 255, "a b", "é"])
async def test_other_names_are_none(cast: Cast, name: str) -> None:
    answer = await cast.owner.put(f"{DATA}/{name}", json=1)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "path:dataKey")


@pytest.mark.parametrize("dots", [".", ".."])
async def test_no_body_names_an_app_so_either(cast: Cast, dots: str) -> None:
    activity = await cast.owner.post(
        "/v1/users/me/activity", json={"appId": dots, "eventType": "e"}
    )
    event = {"appId": dots, "eventName": "e", "eventCategory": "custom"}
    for answer in (activity, await cast.admin.post("/v1/analytics/events", json=event)):
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/appId")


async def test_a_name_in_another_encoding_is_refused_and_leads_to_nobody(
    cast: Cast, api: Api
) -> None:
    """What is no UTF-8 is read as one and the same mark: an id in Latin-1 had led to whoever has
    another one of that kind."""
    key, mark = cast.admin.credential, {"userId": cast.owner.id}
    own = await cast.admin.put("/v1/apps/crm/external-ids/j%EF%BF%BDrg", json=mark)
    assert (own.status_code, own.json()["externalId"]) == (201, "j\ufffdrg")
    status, body = await raw(api, key, "GET", "/v1/apps/crm/external-ids/j%F6rg")
    assert (status, body["errors"][0]["pointer"]) == (422, "path:externalId")
    assert (await raw(api, None, "GET", "/v1/apps/crm/external-ids/j%F6rg"))[0] == 401
    for query in ("valuUserId=j%F6rg", "limit=1&prefix=%E4"):
        status, body = await raw(api, key, "GET", f"/v1/users?{query}")
        name = query.split("&")[-1].split("=")[0]
        assert (status, body["errors"][0]["pointer"]) == (422, f"?{name}")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"{DATA}/a%2Fb", "dataKey"),
        (f"{DATA}/a%2fb", "dataKey"),
        ("/v1/users/me/apps/no%2Ftes/data/k", "appId"),
        ("/v1/users/me%2Fx/apps/notes/data/k", "userId"),
        ("/v1/apps/a%2Fb", "appId"),
        ("/v1/apps/notes/external-ids/a%2Fb", "externalId"),
        ("/v1/users/by/valuUserId/a%2Fb", "value"),
        ("/v1/projects/a%2Fb/repository", "projectId"),
        ("/v1/accounts/x/cards/a%2fb", "cardId"),
        ("/v1/users/me/apps/no%2Ftes/nothing", "appId"),
        ("/v1/nothing/a%2Fb", "path"),
    ],
)
async def test_an_encoded_slash_is_refused_by_the_parameter_that_holds_it(
    cast: Cast, api: Api, path: str, name: str
) -> None:
    status, body = await raw(api, cast.admin.credential, "GET", path)
    assert (status, body["errors"][0]["pointer"]) == (422, f"path:{name}")
    assert "%2F" in body["detail"]
    assert (await raw(api, None, "GET", path))[0] == 401
