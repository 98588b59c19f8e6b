"""JSON Patch: pointers that lead nowhere, moves that let nothing grow, and the zeros of JSON."""

from typing import Any

import pytest

from tests.cast import Cast
from tests.factories.app_data import K
from tests.harness import version_of

VALUE: dict[str, Any] = {"a": [1, 2], "s": "text", "n": 1, "o": {"p": 1}}
NO_POINTERS: list[Any] = ["a", "/a~2", "/~", 5, None, True, ["a"], {"a": 1}]
NOWHERE = ["/a/-", "/a/2", "/a/01", "/a/-0", "/a/x", "/x", "/x/y", "/s/0", "/n/0", "/o/q/r"]


@pytest.mark.parametrize("pointer", NO_POINTERS + NOWHERE, ids=repr)
@pytest.mark.parametrize("op", ["copy", "move"])
async def test_a_place_that_from_does_not_name_is_said_to_be_none(
    cast: Cast, op: str, pointer: Any
) -> None:
    await cast.owner.put(K, json=VALUE)
    refused = await cast.owner.patch(K, [{"op": op, "from": pointer, "path": "/z"}])
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [
        ("/0", "not_applicable")
    ]
    assert version_of(await cast.owner.get(K)) == 1


@pytest.mark.parametrize("pointer", NO_POINTERS, ids=repr)
@pytest.mark.parametrize("op", ["add", "remove", "replace", "move", "copy", "test"])
async def test_a_path_that_is_no_pointer_is_malformed_whatever_is_done_there(
    cast: Cast, op: str, pointer: Any
) -> None:
    await cast.owner.put(K, json=VALUE)
    refused = await cast.owner.patch(K, [{"op": op, "from": "/n", "path": pointer, "value": 1}])
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [
        ("/0", "not_applicable")
    ]
    assert version_of(await cast.owner.get(K)) == 1


@pytest.mark.parametrize("pointer", NOWHERE, ids=repr)
async def test_a_test_of_a_place_that_is_not_there_fails(cast: Cast, pointer: str) -> None:
    await cast.owner.put(K, json=VALUE)
    failed = await cast.owner.patch(K, [{"op": "test", "path": pointer, "value": None}])
    assert (failed.status_code, failed.json()["code"]) == (409, "patch_test_failed")


async def test_a_test_without_a_path_or_a_value_is_malformed(cast: Cast) -> None:
    await cast.owner.put(K, json=VALUE)
    for operation in ({"op": "test", "value": 1}, {"op": "test", "path": "/n"}):
        assert (await cast.owner.patch(K, [operation])).status_code == 422


async def test_moves_let_nothing_grow_however_many_there_are(cast: Cast) -> None:
    items = [{"id": number, "text": "x" * 2000} for number in range(150)]
    await cast.owner.put(K, json=items)
    moved = await cast.owner.patch(K, [{"op": "move", "from": "/149", "path": "/0"}] * 600)
    assert (moved.status_code, moved.json()["value"]) == (200, items)  # four times round
    moved = await cast.owner.patch(K, [{"op": "move", "from": "/149", "path": "/0"}] * 601)
    assert moved.json()["value"] == [items[-1], *items[:-1]]
    copied = await cast.owner.patch(K, [{"op": "copy", "from": "/0", "path": "/0"}] * 600)
    assert (copied.status_code, copied.json()["code"]) == (413, "too_large")


async def test_what_operations_nest_too_deep_is_refused(cast: Cast) -> None:
    await cast.owner.put(K, json={f"k{number}": {} for number in range(900)})
    nested = [
        {"op": "move", "from": f"/k{number}", "path": f"/k{number + 1}/b"} for number in range(899)
    ]
    refused = await cast.owner.patch(K, nested)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "too_deep")
    deep = [{"op": "add", "path": "/k0" + "/b" * depth, "value": {}} for depth in range(1, 300)]
    refused = await cast.owner.patch(K, deep)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "too_deep")
    profile = [
        {"op": "add", "path": "/metadata" + "/b" * depth, "value": {}} for depth in range(1, 900)
    ]
    refused = await cast.owner.patch("/v1/users/me/profile", profile)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "too_deep")


@pytest.mark.parametrize(
    ("sent", "kept"), [("-0", "0"), ("-0.0", "-0.0"), ("0.0", "0.0"), ("[-0,-0.0]", "[0,-0.0]")]
)
async def test_an_integer_zero_has_no_sign_and_a_float_keeps_it(
    cast: Cast, sent: str, kept: str
) -> None:
    await cast.owner.put(K, content=sent.encode())
    assert (await cast.owner.get(K)).text == kept
    patch = f'[{{"op": "replace", "path": "", "value": {sent}}}]'
    kind = {"Content-Type": "application/json-patch+json"}
    await cast.owner.put(K, json=1)
    assert (await cast.owner.request("PATCH", K, content=patch, headers=kind)).status_code == 200
    assert (await cast.owner.get(K)).text == kept


async def test_all_zeros_are_equal_to_a_test(cast: Cast) -> None:
    kind = {"Content-Type": "application/json-patch+json"}
    for stored in ("0", "-0", "0.0", "-0.0", "0e5"):
        await cast.owner.put(K, content=stored.encode())
        for wanted in ("0", "-0", "0.0", "-0.0"):
            patch = f'[{{"op": "test", "path": "", "value": {wanted}}}]'
            assert (
                await cast.owner.request("PATCH", K, content=patch, headers=kind)
            ).status_code == 200
