"""One person is put by what they are known by."""

import pytest

from models import User
from tests.cast import Cast
from tests.harness import Caller


async def test_one_person_is_put_by_what_they_are_known_by(importer: Caller, cast: Cast) -> None:
    path = "/v1/users/by/valuUserId/v-9"
    made = await importer.put(path, json={"user": {"name": "Nine"}})
    assert (made.status_code, made.json()["valuUserId"]) == (201, "v-9")
    again = await importer.put(path, json={"user": {"name": "Nine"}})
    assert (again.status_code, again.headers["etag"]) == (200, made.headers["etag"])
    changed = await importer.put(path, json={"user": {"email": "nine@example.com"}})
    assert changed.json()["email"] == "nine@example.com"
    assert changed.json()["id"] == made.json()["id"]
    other = await importer.put(
        "/v1/users/by/valuUserId/v-10", json={"user": {"email": "nine@example.com"}}
    )
    assert (other.status_code, other.json()["code"]) == (409, "duplicate")
    assert other.json()["errors"][0]["pointer"] == "/user/email"
    phone = await importer.put("/v1/users/by/phone/+14155550142", json={"verified": ["phone"]})
    assert (phone.status_code, phone.json()["authMethods"]) == (201, ["phone"])
    missing = await importer.put("/v1/users/by/externalId/7", json={})
    assert (missing.status_code, missing.json()["errors"][0]["pointer"]) == (422, "?appId")
    external = await importer.put("/v1/users/by/externalId/7", json={}, params={"appId": "crm"})
    assert external.status_code == 201
    refused = await importer.put(path, json={"user": {"roles": ["x"]}})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (403, "/user/roles")


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("valuUserId/null", "/user/valuUserId"),
        ("merkosUserId/" + "x" * 500, "/user/merkosUserId"),
        ("externalId/null?appId=crm", "/externalIds/0/externalId"),
        ("externalId/7?appId=%20", "/externalIds/0/appId"),
    ],
)
async def test_a_path_that_can_name_nobody_is_refused(
    importer: Caller, path: str, pointer: str
) -> None:
    answer = await importer.put(f"/v1/users/by/{path}", json={"user": {"name": "Nobody"}})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await User.raw().count_documents({}) == 0


async def test_a_precondition_holds_for_whom_the_path_finds(importer: Caller) -> None:
    path, name = "/v1/users/by/valuUserId/v-9", {"user": {"name": "Nine"}}
    nobody = await importer.put(path, json=name, headers={"If-Match": '"1"'})
    assert (nobody.status_code, nobody.json().get("current")) == (412, None)
    fresh = {"If-None-Match": "*"}
    made = await importer.put(path, json=name, headers=fresh)
    assert made.status_code == 201
    again = await importer.put(path, json={"user": {"name": "Other"}}, headers=fresh)
    assert (again.status_code, again.json()["current"]["name"]) == (412, "Nine")
    stale = await importer.put(path, json={"user": {"name": "Other"}}, headers={"If-Match": '"7"'})
    assert (stale.status_code, stale.json()["current"]["version"]) == (412, 1)
    now = {"If-Match": made.headers["etag"]}
    changed = await importer.put(path, json={"user": {"name": "Other"}}, headers=now)
    assert (changed.status_code, changed.json()["name"]) == (200, "Other")
    assert (await importer.put(path, json=name, headers=now)).status_code == 412
