"""Any JSON value comes back as it was sent: values, types, and the order of keys."""

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cast import Cast
from tests.factories.app_data import DATA, K

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
special = st.sampled_from(
    ["$ref", "$id", "$db", "\x1b$ref", "\x1b\x1b$ref", "\x1b", "$set", "$", "a.b", ".", "", "_id"]
)
keys = st.one_of(special, text.filter(lambda key: "\0" not in key))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    text,
    st.sampled_from(
        [
            2**31,
            -(2**31) - 1,
            2**53 + 1,
            2**63 - 1,
            -(2**63),
            -0.0,
            1.0,
            5e-324,
            1.7976931348623157e308,
        ]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=6)),
    max_leaves=25,
)
async_examples = settings(
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
names = count()


def spelled(value: Any) -> str:
    """One spelling for one value: tells 1 from 1.0, 0.0 from -0.0, and one order of keys from
    another."""
    return json.dumps(value)


@given(value=values)
@async_examples
async def test_any_value_comes_back_as_it_was_sent(cast: Cast, value: Any) -> None:
    path = f"{DATA}/k{next(names)}"
    body = json.dumps(value).encode()
    assert (await cast.owner.put(path, content=body)).status_code == 201
    assert spelled((await cast.owner.get(path)).json()) == spelled(value)


@given(before=values, value=values)
@async_examples
async def test_any_value_replaces_any_other(cast: Cast, before: Any, value: Any) -> None:
    path = f"{DATA}/k{next(names)}"
    assert (await cast.owner.put(path, content=json.dumps(before).encode())).status_code == 201
    body = json.dumps(value).encode()
    assert (
        await cast.owner.put(path, content=body, headers={"If-Match": '"1"'})
    ).status_code == 200
    assert spelled((await cast.owner.get(path)).json()) == spelled(value)


@given(value=values)
@async_examples
async def test_every_way_to_a_value_gives_the_same(cast: Cast, value: Any) -> None:
    name = f"k{next(names)}"
    path = f"{DATA}/{name}"
    represented = {"Prefer": "return=representation"}
    put = await cast.owner.put(path, content=json.dumps(value).encode(), headers=represented)
    listed = await cast.owner.get(DATA, params={"prefix": name, "limit": 1})
    stale = await cast.owner.put(path, json=0, headers={"If-None-Match": "*"})
    replace = [{"op": "replace", "path": "", "value": value}]
    kind = {"Content-Type": "application/json-patch+json"}
    patched = await cast.owner.request(
        "PATCH", path, content=json.dumps(replace).encode(), headers=kind
    )
    found = [put.json(), listed.json()["items"][0], stale.json()["current"], patched.json()]
    assert [spelled(envelope["value"]) for envelope in found] == [spelled(value)] * 4


@pytest.mark.parametrize(
    "body",
    [
        '{"b":1,"a":2,"$ref":{"$id":3},"c":{}}',
        '{"$ref":"users","$id":"5","$db":"x"}',
        '{"$ref":[{"$ref":1}],"\\u001b$ref":2}',
        '[{"$set":{"a.b":1}},{"$$ROOT":"$$NOW"},"$value"]',
        '{"":{"":[]}}',
        '{"_id":1,"__proto__":2}',
        "[1,1.0,-0.0,1e-7,9007199254740993,9223372036854775807,-9223372036854775808]",
        '"\\u0000 in a string"',
        '"\U0001f600 é \u2028"',
        '{"0":1,"10":2,"9":3}',
    ],
)
async def test_bytes_come_back_as_they_were_sent(cast: Cast, body: str) -> None:
    assert (await cast.owner.put(K, content=body.encode())).status_code == 201
    assert (await cast.owner.get(K)).text == body


@pytest.mark.parametrize(
    ("before", "after"),
    [("1", "1.0"), ("0.0", "-0.0"), ('{"a":1,"b":2}', '{"b":2,"a":1}'), ("[]", "{}")],
)
async def test_a_value_is_replaced_by_one_that_only_mongod_calls_equal(
    cast: Cast, before: str, after: str
) -> None:
    await cast.owner.put(K, content=before.encode())
    assert (
        await cast.owner.put(K, content=after.encode(), headers={"If-Match": '"1"'})
    ).status_code == 200
    assert (await cast.owner.get(K)).text == after


async def test_a_value_at_each_limit_is_stored(cast: Cast) -> None:
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    wide = {f"k{n}": n for n in range(20_000)}
    long = "x" * (512 * 1024 - 2)
    for value in (deep, wide, long):
        assert (await cast.owner.put(K, json=value)).is_success
        assert (await cast.owner.get(K)).json() == value
