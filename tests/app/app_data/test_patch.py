"""Patches of a value: JSON Merge Patch (RFC 7396) and JSON Patch (RFC 6902)."""

import asyncio
import time
from typing import Any

import pytest

from tests.cast import Cast
from tests.factories.app_data import K
from tests.harness import version_of

RFC_7396 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("before", "patch", "after"), RFC_7396)
async def test_merge_patch_does_what_the_rfcs_table_says(
    cast: Cast, before: Any, patch: Any, after: Any
) -> None:
    await cast.owner.put(K, json=before)
    done = await cast.owner.merge(K, patch)
    assert (done.status_code, version_of(done)) == (200, 2)
    assert (done.json()["value"], done.json()["version"]) == (after, 2)
    assert (await cast.owner.get(K)).json() == after


JSON_PATCHES: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
    ({"foo": [1, 3]}, [{"op": "add", "path": "/foo/1", "value": 2}], {"foo": [1, 2, 3]}),
    ({"foo": [1]}, [{"op": "add", "path": "/foo/-", "value": [2]}], {"foo": [1, [2]]}),
    ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
    ([1, 2, 3], [{"op": "remove", "path": "/1"}], [1, 3]),
    ({"a": 1}, [{"op": "replace", "path": "/a", "value": None}], {"a": None}),
    ({"a": 1}, [{"op": "replace", "path": "", "value": [1]}], [1]),
    (5, [{"op": "replace", "path": "", "value": {"n": 5}}], {"n": 5}),
    (
        {"a": {"b": 1}, "c": {}},
        [{"op": "move", "from": "/a/b", "path": "/c/d"}],
        {"a": {}, "c": {"d": 1}},
    ),
    ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
    ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}, {"op": "remove", "path": "/a"}], {}),
    (
        {"a/b": 1, "m~n": 2},
        [{"op": "remove", "path": "/a~1b"}, {"op": "remove", "path": "/m~0n"}],
        {},
    ),
    ({"$ref": 1}, [{"op": "add", "path": "/$id", "value": 2}], {"$ref": 1, "$id": 2}),
]


async def test_merge_patch_of_null_leaves_null(cast: Cast) -> None:
    await cast.owner.put(K, json={"a": 1})
    kind = {"Content-Type": "application/merge-patch+json"}
    done = await cast.owner.request("PATCH", K, content=b"null", headers=kind)
    assert (done.status_code, done.json()["value"]) == (200, None)
    assert (await cast.owner.get(K)).content == b"null"


@pytest.mark.parametrize(("before", "patch", "after"), JSON_PATCHES)
async def test_json_patch_does_each_operation(
    cast: Cast, before: Any, patch: Any, after: Any
) -> None:
    await cast.owner.put(K, json=before)
    done = await cast.owner.patch(K, patch)
    assert (done.status_code, done.json()["value"], done.json()["version"]) == (200, after, 2)
    assert (await cast.owner.get(K)).json() == after


async def test_a_copy_is_a_copy(cast: Cast) -> None:
    await cast.owner.put(K, json={"a": {"n": 1}})
    copy = {"op": "copy", "from": "/a", "path": "/b"}
    done = await cast.owner.patch(K, [copy, {"op": "replace", "path": "/b/n", "value": 2}])
    assert done.json()["value"] == {"a": {"n": 1}, "b": {"n": 2}}


@pytest.mark.parametrize(
    "patch",
    [
        {"op": "add"},
        ["add"],
        [{}],
        [{"op": "add", "path": "/a"}],
        [{"op": "fly", "path": "/a", "value": 1}],
        [{"op": ["add"], "path": "/a", "value": 1}],
        [{"op": "add", "path": 5, "value": 1}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/x/y/z", "value": 1}],
        [{"op": "remove", "path": "/x"}],
        [{"op": "remove", "path": ""}],
        [{"op": "replace", "path": "/x", "value": 1}],
        [{"op": "copy", "from": "/x", "path": "/y"}],
        [{"op": "copy", "path": "/y"}],
        [{"op": "move", "from": "/l", "path": "/l/0"}],
        [{"op": "add", "path": "/l/9", "value": 1}],
        [{"op": "add", "path": "/l/x", "value": 1}],
        [{"op": "add", "path": "/l/-1", "value": 1}],
        [{"op": "add", "path": "/l/01", "value": 1}],
        [{"op": "add", "path": "/s/0", "value": 1}],
        [{"op": "add", "path": "/~2", "value": 1}],
        [{"op": "add", "path": "/n/0", "value": 1}],
        [{"op": "test", "path": "/n"}],
        "patch",
        7,
    ],
    ids=repr,
)
async def test_a_patch_that_makes_no_sense_changes_nothing(cast: Cast, patch: Any) -> None:
    await cast.owner.put(K, json={"l": [1], "s": "text", "n": 1})
    refused = await cast.owner.patch(K, patch)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert version_of(await cast.owner.get(K)) == 1


@pytest.mark.parametrize(
    ("path", "value"), [("/n", 2), ("/n", "1"), ("/n", True), ("/l", []), ("", {})]
)
async def test_a_failing_test_operation_is_409_and_changes_nothing(
    cast: Cast, path: str, value: Any
) -> None:
    await cast.owner.put(K, json={"n": 1, "l": [1]})
    add = {"op": "add", "path": "/x", "value": 1}
    refused = await cast.owner.patch(K, [add, {"op": "test", "path": path, "value": value}])
    assert (refused.status_code, refused.json()["code"]) == (409, "patch_test_failed")
    assert refused.json()["errors"][0]["pointer"] == "/1"
    assert (await cast.owner.get(K)).json() == {"n": 1, "l": [1]}


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/xml", ""])
@pytest.mark.parametrize("body", [b'{"a": 1}', b"no json"])
async def test_a_patch_of_no_known_type_is_415(cast: Cast, kind: str, body: bytes) -> None:
    await cast.owner.put(K, json={})
    refused = await cast.owner.request("PATCH", K, content=body, headers={"Content-Type": kind})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    assert "application/merge-patch+json" in refused.headers["accept-patch"]


async def test_the_type_of_a_patch_may_have_parameters_and_capitals(cast: Cast) -> None:
    await cast.owner.put(K, json={})
    kind = {"Content-Type": "Application/Merge-Patch+JSON; charset=utf-8"}
    assert (await cast.owner.request("PATCH", K, content=b'{"a":1}', headers=kind)).json()[
        "value"
    ] == {"a": 1}


async def test_copies_that_double_end_at_the_limit(cast: Cast) -> None:
    await cast.owner.put(K, json={"a": ["x" * 1000]})
    bomb = [{"op": "copy", "from": "", "path": f"/c{turn}"} for turn in range(60)]
    refused = await cast.owner.patch(K, bomb)
    assert refused.status_code in (413, 422)
    assert version_of(await cast.owner.get(K)) == 1


async def test_a_value_patched_beyond_its_size_is_413(cast: Cast) -> None:
    await cast.owner.put(K, json={"a": "x" * 300_000})
    refused = await cast.owner.merge(K, {"b": "x" * 300_000})
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


async def test_a_value_patched_beyond_its_depth_is_refused(cast: Cast) -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    await cast.owner.put(K, json={"a": deep})
    path = "/a" + "/0" * 39
    for operation in (
        {"op": "copy", "from": "/a", "path": path},
        {"op": "add", "path": path, "value": deep},
    ):
        refused = await cast.owner.patch(K, [operation])
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "too_deep")


async def test_a_thousand_operations_are_taken_and_no_more(cast: Cast) -> None:
    await cast.owner.put(K, json=[])
    add = {"op": "add", "path": "/-", "value": 0}
    assert (await cast.owner.patch(K, [add] * 1000)).json()["value"] == [0] * 1000
    assert (await cast.owner.patch(K, [add] * 1001)).status_code == 422


async def test_many_copies_within_a_large_value_do_not_hold_up_others(cast: Cast) -> None:
    await cast.owner.put(K, json=[0] * 100_000)
    started = time.monotonic()
    done = await cast.owner.patch(K, [{"op": "copy", "from": "/0", "path": "/1"}] * 200)
    assert (done.status_code, len(done.json()["value"])) == (200, 100_200)
    assert time.monotonic() - started < 4


async def test_patches_that_race_are_all_applied(cast: Cast) -> None:
    await cast.owner.put(K, json={})
    answers = await asyncio.gather(*(cast.owner.merge(K, {f"k{n}": n}) for n in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 10))
    assert (await cast.owner.get(K)).json() == {f"k{n}": n for n in range(8)}
