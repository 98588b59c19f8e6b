"""The list of an app's data: in the order of its keys, page by page."""

from base64 import urlsafe_b64encode
from itertools import chain

import pytest

from tests.cast import Cast
from tests.factories.app_data import DATA, fill
from tests.harness import Caller

KEYS = ["B", "a", "a.1", "a.2", "a:3", "b", "~z"]


async def walk(caller: Caller, path: str, **params: str | int) -> list[list[str]]:
    """The keys of each page."""
    pages, cursor = [], None
    while True:
        body = (
            await caller.get(path, params={**params, **({"cursor": cursor} if cursor else {})})
        ).json()
        pages.append([item["dataKey"] for item in body["items"]])
        cursor = body["nextCursor"]
        if cursor is None:
            return pages


async def test_an_empty_list_is_a_list(cast: Cast) -> None:
    found = await cast.owner.get(DATA)
    assert (found.status_code, found.json()) == (200, {"items": [], "nextCursor": None})


async def test_values_are_listed_in_their_envelopes_by_key(cast: Cast) -> None:
    await fill(cast.owner, KEYS)
    items = (await cast.owner.get(DATA)).json()["items"]
    assert [item["dataKey"] for item in items] == KEYS
    assert set(items[0]) == {"dataKey", "value", "version", "createdAt", "updatedAt"}
    assert (items[0]["value"], items[0]["version"]) == ({"of": "B"}, 1)


@pytest.mark.parametrize(
    ("limit", "pages"),
    [
        (3, [KEYS[:3], KEYS[3:6], KEYS[6:]]),
        (7, [KEYS]),
        (1, [[key] for key in KEYS]),
        (200, [KEYS]),
    ],
)
async def test_pages_follow_each_other_without_gap(
    cast: Cast, limit: int, pages: list[list[str]]
) -> None:
    await fill(cast.owner, KEYS)
    assert await walk(cast.owner, DATA, limit=limit) == pages


async def test_a_page_begins_after_the_last_even_if_that_is_gone(cast: Cast) -> None:
    await fill(cast.owner, KEYS)
    first = (await cast.owner.get(DATA, params={"limit": 2})).json()
    await cast.owner.delete(f"{DATA}/a")
    await cast.owner.put(f"{DATA}/A", json=1)
    second = (await cast.owner.get(DATA, params={"limit": 2, "cursor": first["nextCursor"]})).json()
    assert [item["dataKey"] for item in second["items"]] == ["a.1", "a.2"]


@pytest.mark.parametrize(
    ("prefix", "keys"),
    [
        ("a", ["a", "a.1", "a.2", "a:3"]),
        ("a.", ["a.1", "a.2"]),
        ("~", ["~z"]),
        ("zz", []),
        ("", KEYS),
        (".*", []),
    ],
)
async def test_a_prefix_chooses_keys(cast: Cast, prefix: str, keys: list[str]) -> None:
    await fill(cast.owner, KEYS)
    assert list(chain.from_iterable(await walk(cast.owner, DATA, prefix=prefix))) == keys
    assert list(chain.from_iterable(await walk(cast.owner, DATA, prefix=prefix, limit=1))) == keys


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ("dataKey", {"dataKey", "version"}),
        ("version", {"dataKey", "version"}),
        ("value", {"dataKey", "version", "value"}),
        ("updatedAt, createdAt", {"dataKey", "version", "updatedAt", "createdAt"}),
        ("expiresAt", {"dataKey", "version", "expiresAt"}),
    ],
)
async def test_fields_choose_what_is_sent(cast: Cast, fields: str, names: set[str]) -> None:
    await cast.owner.put(f"{DATA}/k", json={"$ref": "x", "$id": 1}, params={"ttl": 60})
    item = (await cast.owner.get(DATA, params={"fields": fields})).json()["items"][0]
    assert set(item) == names
    assert item.get("value", {"$ref": "x", "$id": 1}) == {"$ref": "x", "$id": 1}


@pytest.mark.parametrize("fields", ["", "userId", "_id", "value,", "$where", "value.a"])
async def test_other_fields_are_refused(cast: Cast, fields: str) -> None:
    refused = await cast.owner.get(DATA, params={"fields": fields})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "?fields")


async def test_expand_embeds_the_user(cast: Cast) -> None:
    await fill(cast.owner, ["a", "b"])
    items = (await cast.owner.get(DATA, params={"expand": "user"})).json()["items"]
    assert [item["user"]["id"] for item in items] == [cast.owner.id] * 2
    assert items[0]["user"]["email"] == "owner@example.com"


async def test_only_this_app_and_only_what_lives_is_listed(cast: Cast) -> None:
    await fill(cast.owner, ["a", "b"])
    await cast.owner.put("/v1/users/me/apps/boats/data/c", json=1)
    await cast.stranger.put(f"{DATA}/d", json=1)
    await cast.owner.delete(f"{DATA}/a")
    assert await walk(cast.owner, DATA) == [["b"]]


def forged(text: bytes) -> str:
    return urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "====", "%C3%A9", "a" * 1025),
        *map(
            forged,
            [b"[]", b"1", b"null", b"[1]", b'["a","b"]', b'{"a":1}', b"\xff", b"[[]]", b"[null]"],
        ),
    ],
)
async def test_a_cursor_of_no_list_is_refused(cast: Cast, cursor: str) -> None:
    refused = await cast.owner.get(f"{DATA}?cursor={cursor}")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "?cursor")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=-1", "limit=x", "expand=owner", "prefix=" + "x" * 257]
)
async def test_other_parameters_are_refused(cast: Cast, query: str) -> None:
    refused = await cast.owner.get(f"{DATA}?{query}")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        "?" + query.split("=", maxsplit=1)[0],
    )


async def test_the_list_of_a_user_who_is_not_there_is_404(cast: Cast) -> None:
    assert (await cast.admin.get(f"/v1/users/{'f' * 24}/apps/notes/data")).status_code == 404


async def test_a_key_that_may_not_read_users_gets_none_embedded(cast: Cast) -> None:
    path = f"/v1/users/{cast.owner.id}"
    for kind in ("apps/notes/data", "activity"):
        assert (await cast.app_key.get(f"{path}/{kind}")).status_code == 200
        assert (
            await cast.app_key.get(f"{path}/{kind}", params={"expand": "user"})
        ).status_code == 403
    login = await cast.app_key.post(f"{path}/logins", json={"appId": "notes"})
    assert (login.status_code, list(login.json())) == (201, ["activityId"])
