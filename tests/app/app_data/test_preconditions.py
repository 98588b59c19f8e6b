"""Preconditions: who writes on what they have not seen is told what is there."""

from typing import Any

import pytest

from tests.cast import Cast
from tests.factories.app_data import K
from tests.harness import Caller, version_of

WRITES: list[tuple[str, Any]] = [("PUT", "new"), ("PATCH", {"new": True}), ("DELETE", None)]


async def write(caller: Caller, verb: str, body: Any, **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if verb == "PATCH":
        return await caller.merge(K, body, headers=sent)
    return await caller.request(verb, K, headers=sent, **({"json": body} if verb == "PUT" else {}))


@pytest.mark.parametrize(("verb", "body"), WRITES)
@pytest.mark.parametrize(
    "tags", ['"2"', "*", '"1", "2"', '"2","9"', 'W/"1", "2"', " * ", '"foreign", "2"']
)
async def test_a_write_on_the_current_version_is_done(
    cast: Cast, verb: str, body: Any, tags: str
) -> None:
    await cast.owner.put(K, json={"n": 1})
    await cast.owner.put(K, json={"n": 2})
    done = await write(cast.owner, verb, body, If_Match=tags)
    assert done.status_code == (204 if verb == "DELETE" else 200)
    after = await cast.owner.get(K)
    assert after.status_code == (404 if verb == "DELETE" else 200)
    if verb != "DELETE":
        assert (done.json()["version"], version_of(after)) == (3, 3)


@pytest.mark.parametrize(("verb", "body"), WRITES)
@pytest.mark.parametrize(
    "tags",
    [
        '"1"',
        '"3"',
        'W/"2"',
        '"1", "3"',
        '"foreign"',
        '"02"',
        '"-2"',
        '""',
        '"99999999999999999999999"',
    ],
)
async def test_stale_write_returns_the_current_document(
    cast: Cast, verb: str, body: Any, tags: str
) -> None:
    await cast.owner.put(K, json={"n": 1})
    written = (await cast.owner.put(K, json={"n": 2})).json()
    stale = await write(cast.owner, verb, body, If_Match=tags)
    assert (stale.status_code, stale.json()["code"]) == (412, "version_mismatch")
    assert stale.json()["current"] == {**written, "value": {"n": 2}}
    assert version_of(stale) == 2
    after = await cast.owner.get(K)
    assert (after.json(), version_of(after)) == ({"n": 2}, 2)


@pytest.mark.parametrize(("verb", "body"), WRITES)
@pytest.mark.parametrize(
    "tags", ["", "2", '"2', '2"', "'2'", '"2" "3"', "W/2", '"a"b"', ",", '"1",,"2"']
)
async def test_a_header_that_is_no_list_of_tags_is_refused(
    cast: Cast, verb: str, body: Any, tags: str
) -> None:
    await cast.owner.put(K, json={"n": 1})
    refused = await write(cast.owner, verb, body, If_Match=tags)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "header:If-Match")
    assert (await cast.owner.get(K)).json() == {"n": 1}


async def test_put_on_a_version_of_nothing_is_412_with_nothing(cast: Cast) -> None:
    for tags in ('"1"', "*"):
        stale = await cast.owner.put(K, json=1, headers={"If-Match": tags})
        assert (stale.status_code, stale.json()["current"]) == (412, None)
    assert (await cast.owner.get(K)).status_code == 404


async def test_patch_and_delete_of_nothing_are_404_whatever_they_expect(cast: Cast) -> None:
    for tags in ('"1"', "*"):
        assert (await cast.owner.merge(K, {}, headers={"If-Match": tags})).status_code == 404
        assert (await cast.owner.delete(K, headers={"If-Match": tags})).status_code == 404


async def test_a_tombstones_version_is_no_version_to_write_on(cast: Cast) -> None:
    await cast.owner.put(K, json=1)
    await cast.owner.delete(K)
    stale = await cast.owner.put(K, json=2, headers={"If-Match": '"2"'})
    assert (stale.status_code, stale.json()["current"]) == (412, None)


async def test_create_only_creates(cast: Cast) -> None:
    only = {"If-None-Match": "*"}
    assert (await cast.owner.put(K, json="first", headers=only)).status_code == 201
    refused = await cast.owner.put(K, json="second", headers=only)
    assert (refused.status_code, refused.json()["current"]["value"]) == (412, "first")
    await cast.owner.delete(K)
    again = await cast.owner.put(K, json="third", headers=only)
    assert (again.status_code, again.json()["version"]) == (201, 3)


async def test_patch_that_expects_nothing_finds_something(cast: Cast) -> None:
    await cast.owner.put(K, json={"a": 1})
    refused = await cast.owner.merge(K, {"b": 2}, headers={"If-None-Match": "*"})
    assert (refused.status_code, refused.json()["current"]["value"]) == (412, {"a": 1})


async def test_delete_that_expects_nothing_deletes_nothing(cast: Cast) -> None:
    only = {"If-None-Match": "*"}
    assert (await cast.owner.delete(K, headers=only)).status_code == 404
    await cast.owner.put(K, json=1)
    refused = await cast.owner.delete(K, headers=only)
    assert (refused.status_code, refused.json()["current"]["value"]) == (412, 1)
    await cast.owner.delete(K)
    assert (await cast.owner.delete(K, headers=only)).status_code == 404
    again = await cast.owner.put(K, json=2)
    assert (again.status_code, again.json()["version"]) == (201, 3)


@pytest.mark.parametrize("tags", ['"1"', "", "x", '*, "1"'])
async def test_a_write_takes_if_none_match_with_a_star_only(cast: Cast, tags: str) -> None:
    refused = await cast.owner.put(K, json=1, headers={"If-None-Match": tags})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        "header:If-None-Match",
    )
    assert (await cast.owner.get(K)).status_code == 404


async def test_a_write_takes_one_precondition(cast: Cast) -> None:
    both = await cast.owner.put(K, json=1, headers={"If-None-Match": "*", "If-Match": "*"})
    assert (both.status_code, both.json()["errors"][0]["code"]) == (422, "conflicting")


@pytest.mark.parametrize(("verb", "body"), WRITES)
async def test_a_strict_app_takes_no_blind_write(cast: Cast, verb: str, body: Any) -> None:
    await cast.owner.put(K, json={"n": 1})
    await cast.admin.put("/v1/apps/notes", json={"requireVersion": True})
    blind = await write(cast.owner, verb, body)
    assert (blind.status_code, blind.json()["code"]) == (428, "version_required")
    assert version_of(await cast.owner.get(K)) == 1
    seeing = await write(cast.owner, verb, body, If_Match='"1"')
    assert seeing.status_code == (204 if verb == "DELETE" else 200)
    await cast.admin.put("/v1/apps/notes", json={})
    assert (await cast.owner.put(K, json=3)).status_code in (200, 201)


async def test_a_strict_apps_first_write_says_that_it_creates(cast: Cast) -> None:
    await cast.admin.put("/v1/apps/notes", json={"requireVersion": True})
    assert (await cast.owner.put(K, json=1)).status_code == 428
    assert (await cast.owner.put(K, json=1, headers={"If-None-Match": "*"})).status_code == 201
