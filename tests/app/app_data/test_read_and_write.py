"""One value: stored, read, replaced, deleted, and counted on through its tombstones."""

from email.utils import parsedate_to_datetime

import pytest

from tests.cast import Cast
from tests.factories.app_data import DATA, K
from tests.harness import version_of


async def test_a_new_value_is_created_as_version_1(cast: Cast) -> None:
    answer = await cast.owner.put(K, json={"a": 1})
    assert (answer.status_code, version_of(answer)) == (201, 1)
    body = answer.json()
    assert list(body) == ["dataKey", "version", "createdAt", "updatedAt"]
    assert (body["dataKey"], body["version"]) == ("k", 1)
    assert body["createdAt"] == body["updatedAt"]
    assert body["createdAt"].endswith("Z")
    assert len(body["createdAt"]) == len("2026-11-20T08:30:00.125Z")


async def test_a_replaced_value_counts_on_and_keeps_its_beginning(cast: Cast) -> None:
    first = (await cast.owner.put(K, json=1)).json()
    second = await cast.owner.put(K, json=2)
    assert (second.status_code, version_of(second)) == (200, 2)
    assert second.json()["createdAt"] == first["createdAt"]
    assert second.json()["updatedAt"] >= first["updatedAt"]
    assert (await cast.owner.get(K)).json() == 2


async def test_a_read_answers_the_bare_value_with_version_and_time(cast: Cast) -> None:
    written = (await cast.owner.put(K, json=[1, {"b": None}])).json()
    found = await cast.owner.get(K)
    assert (found.status_code, found.content) == (200, b'[1,{"b":null}]')
    assert found.headers["content-type"] == "application/json"
    assert version_of(found) == 1
    modified = parsedate_to_datetime(found.headers["last-modified"])
    assert modified.strftime("%Y-%m-%dT%H:%M:%S") == written["updatedAt"][:19]


@pytest.mark.parametrize("value", [b"null", b"false", b"0", b'""', b"[]", b"{}"])
async def test_values_that_are_nothing_much_are_values(cast: Cast, value: bytes) -> None:
    assert (await cast.owner.put(K, content=value)).status_code == 201
    found = await cast.owner.get(K)
    assert (found.status_code, found.content) == (200, value)


@pytest.mark.parametrize(
    ("tags", "status"),
    [("{}", 304), ("W/{}", 304), ('"7", {}', 304), ("*", 304), ('"2"', 200), ('"1"', 200)],
)
async def test_a_reader_who_has_the_version_is_not_sent_it_again(
    cast: Cast, tags: str, status: int
) -> None:
    tag = (await cast.owner.put(K, json="v")).headers["etag"]
    found = await cast.owner.get(K, headers={"If-None-Match": tags.format(tag)})
    assert (found.status_code, version_of(found)) == (status, 1)
    assert found.content == (b"" if status == 304 else b'"v"')


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
async def test_a_key_without_value_is_404(cast: Cast, verb: str) -> None:
    answer = await cast.owner.request(verb, K)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_deleted_value_is_gone(cast: Cast) -> None:
    await cast.owner.put(K, json=1)
    gone = await cast.owner.delete(K)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await cast.owner.get(K)).status_code == 404
    assert (await cast.owner.delete(K)).status_code == 404
    assert (await cast.owner.merge(K, {"a": 1})).status_code == 404


async def test_a_recreated_key_goes_on_counting(cast: Cast) -> None:
    await cast.owner.put(K, json="first")
    await cast.owner.put(K, json="second")
    await cast.owner.delete(K)
    again = await cast.owner.put(K, json="third")
    assert (again.status_code, again.json()["version"]) == (201, 4)
    assert again.json()["createdAt"] == again.json()["updatedAt"]
    assert (await cast.owner.get(K)).json() == "third"


async def test_an_old_version_of_a_recreated_key_is_stale(cast: Cast) -> None:
    await cast.owner.put(K, json="first")
    await cast.owner.delete(K)
    await cast.owner.put(K, json="other")
    stale = await cast.owner.put(K, json="mine", headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["current"]["version"]) == (412, 3)


async def test_users_apps_and_keys_are_apart(cast: Cast) -> None:
    await cast.owner.put(K, json="mine")
    await cast.stranger.put(K, json="yours")
    await cast.owner.put("/v1/users/me/apps/boats/data/k", json="boats")
    await cast.owner.put(f"{DATA}/K", json="capital")
    assert (await cast.owner.get(K)).json() == "mine"
    assert (await cast.stranger.get(K)).json() == "yours"
    assert (await cast.owner.get("/v1/users/me/apps/boats/data/k")).json() == "boats"


@pytest.mark.parametrize("key", ["a", "A.b_c~d:e-f", "x" * 256, "0"])
async def test_keys_of_the_allowed_characters_are_taken(cast: Cast, key: str) -> None:
    assert (await cast.owner.put(f"{DATA}/{key}", json=1)).status_code == 201
    assert (await cast.owner.get(f"{DATA}/{key}")).json() == 1


@pytest.mark.parametrize("key", ["x" * 257, "a%20b", "%C3%A9", "a%0A", "%00", "a$b", "a@b"])
@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE"])
async def test_other_keys_are_refused(cast: Cast, verb: str, key: str) -> None:
    answer = await cast.owner.request(verb, f"{DATA}/{key}", content=b"1")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "path:dataKey"


@pytest.mark.parametrize("app", ["x" * 257, "a%20b", "%C3%A9"])
async def test_other_app_ids_are_refused(cast: Cast, app: str) -> None:
    for path in (f"/v1/users/me/apps/{app}/data/k", f"/v1/users/me/apps/{app}/data"):
        answer = await cast.owner.get(path)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "path:appId"


@pytest.mark.parametrize("user", ["x", "f" * 23, "f" * 25, "g" * 24, "%C3%A9" * 24, "f" * 24, "ME"])
@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE"])
async def test_a_user_who_is_not_there_is_404(cast: Cast, verb: str, user: str) -> None:
    answer = await cast.admin.request(verb, f"/v1/users/{user}/apps/notes/data/k", content=b"1")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_an_api_key_is_no_me(cast: Cast) -> None:
    assert (await cast.admin.get(K)).status_code == 404


async def test_a_servers_key_writes_for_the_user(cast: Cast) -> None:
    path = f"/v1/users/{cast.owner.id}/apps/notes/data/k"
    assert (await cast.app_key.put(path, json="by server")).status_code == 201
    assert (await cast.owner.get(K)).json() == "by server"


@pytest.mark.parametrize("verb", ["POST", "OPTIONS", "TRACE"])
async def test_other_methods_are_405_as_a_problem(cast: Cast, verb: str) -> None:
    answer = await cast.owner.request(verb, K)
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert {"GET", "PUT", "PATCH", "DELETE"} <= set(
        answer.headers["allow"].replace(" ", "").split(",")
    )
