"""The list of an app's data: keys that are named, how many there are, and an ETag."""

import pytest

from tests.cast import Cast
from tests.factories.app_data import DATA, fill
from tests.harness import known, version_of


async def test_named_keys_come_by_one_request_and_those_that_are_not_there_do_not(
    cast: Cast,
) -> None:
    await fill(cast.owner, ["a", "b", "c", "d"])
    body = (await cast.owner.get(DATA, params={"keys": "d,b,none,d"})).json()
    assert [item["dataKey"] for item in body["items"]] == ["b", "d"]
    first = (await cast.owner.get(DATA, params={"keys": "d,b,a", "limit": 2})).json()
    rest = (
        await cast.owner.get(
            DATA, params={"keys": "d,b,a", "limit": 2, "cursor": first["nextCursor"]}
        )
    ).json()
    assert [item["dataKey"] for item in first["items"] + rest["items"]] == ["a", "b", "d"]


@pytest.mark.parametrize("keys", ["", "a,", "a b", ",".join(f"k{number}" for number in range(201))])
async def test_keys_that_are_none_are_refused(cast: Cast, keys: str) -> None:
    answer = await cast.owner.get(DATA, params={"keys": keys})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?keys")


async def test_a_count_is_of_all_pages_and_of_what_lives(cast: Cast) -> None:
    await fill(cast.owner, ["a.1", "a.2", "b", "gone"])
    await cast.owner.delete(f"{DATA}/gone")
    first = (await cast.owner.get(DATA, params={"count": "true", "limit": 1})).json()
    assert (first["count"], len(first["items"])) == (3, 1)
    assert (
        "count"
        not in (
            await cast.owner.get(DATA, params={"limit": 1, "cursor": first["nextCursor"]})
        ).json()
    )
    assert (await cast.owner.get(DATA, params={"count": "true", "prefix": "a."})).json()[
        "count"
    ] == 2
    assert (await cast.owner.get(DATA, params={"count": "true", "keys": "b,gone"})).json()[
        "count"
    ] == 1


async def test_a_page_that_has_not_changed_is_304(cast: Cast) -> None:
    await fill(cast.owner, ["a", "b"])
    page = await cast.owner.get(DATA)
    assert version_of(page) == 1
    again = await cast.owner.get(DATA, headers=known(page))
    assert (again.status_code, again.content, again.headers["etag"]) == (
        304,
        b"",
        page.headers["etag"],
    )
    for params in ({"limit": 1}, {"prefix": "a"}, {"fields": "value"}, {"count": "true"}):
        assert (await cast.owner.get(DATA, params=params, headers=known(page))).status_code == 200
    assert (await cast.stranger.get(DATA, headers=known(page))).status_code == 200
    assert "etag" not in (await cast.owner.get(DATA, params={"expand": "user"})).headers


@pytest.mark.parametrize(
    "page", ["", "?limit=1", "?prefix=a", "?keys=a", "?count=true", "?fields=dataKey"]
)
async def test_the_tag_of_one_persons_page_is_never_anothers(cast: Cast, page: str) -> None:
    for caller in (cast.owner, cast.stranger):
        await fill(caller, ["a", "b"])
    mine, theirs = await cast.owner.get(DATA + page), await cast.stranger.get(DATA + page)
    assert version_of(mine) == version_of(theirs) == 1
    assert mine.headers["etag"] != theirs.headers["etag"]
    second = await cast.stranger.get(DATA + page, headers=known(mine))
    assert (second.status_code, second.content) == (200, theirs.content)
    assert (await cast.owner.get(DATA + page, headers=known(mine))).status_code == 304


async def test_a_page_after_all_was_forgotten_is_another(cast: Cast) -> None:
    await fill(cast.owner, ["a"])
    page = await cast.owner.get(DATA)
    assert (await cast.owner.delete(DATA.removesuffix("/data"))).is_success
    await fill(cast.owner, ["a"])
    assert (await cast.owner.get(DATA, headers=known(page))).status_code == 200


async def test_any_change_of_a_page_changes_its_tag(cast: Cast) -> None:
    await fill(cast.owner, ["a", "b"])
    tags = set()
    for change in (
        lambda: cast.owner.put(f"{DATA}/a", json=2),
        lambda: cast.owner.put(f"{DATA}/c", json=1),
        lambda: cast.owner.delete(f"{DATA}/b"),
        lambda: cast.owner.put(f"{DATA}/b", json=1),
    ):
        tags.add((await cast.owner.get(DATA)).headers["etag"])
        assert (await change()).is_success
    tags.add((await cast.owner.get(DATA)).headers["etag"])
    assert len(tags) == 5
