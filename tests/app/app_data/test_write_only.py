"""A key with `data:write` alone writes and reads nothing: no answer carries the value."""

import pytest

from tests.cast import Cast
from tests.factories.app_data import K
from tests.harness import Api, Caller

SECRET = {"the": "secret"}


@pytest.fixture
async def writer(cast: Cast, api: Api) -> Caller:
    """A key that only writes."""
    assert (await cast.owner.put(K, json=SECRET)).status_code == 201
    return await api.key("data:write")


async def test_whoever_only_writes_is_shown_no_value(cast: Cast, writer: Caller) -> None:
    key = K.replace("me", cast.owner.id)
    wanted = {"Prefer": "return=representation"}
    stale = {"If-Match": '"99"'}
    answers = [
        await writer.merge(key, {}, headers=wanted),
        await writer.merge(key, {}),
        await writer.patch(key, []),
        await writer.put(key, json=1, headers=stale),
        await writer.merge(key, {}, headers=stale),
        await writer.delete(key, headers=stale),
        await writer.put(key, json=1, headers={"If-None-Match": "*"} | wanted),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 412, 412, 412, 412]
    for answer in answers:
        assert "secret" not in answer.text
        envelope = answer.json().get("current", answer.json())
        assert (envelope["dataKey"], "value" in envelope) == (K.rpartition("/")[2], False)
        assert envelope["version"] == 1
    assert (await writer.get(key)).status_code == 403
    assert (await cast.owner.get(K)).json() == SECRET
    changed = await writer.merge(key, {"more": 1}, headers=wanted)
    assert (changed.status_code, changed.json()["version"], "value" in changed.json()) == (
        200,
        2,
        False,
    )


async def test_whoever_reads_too_is_shown_the_value(cast: Cast) -> None:
    await cast.owner.put(K, json=SECRET)
    assert (await cast.owner.merge(K, {})).json()["value"] == SECRET
    assert (await cast.owner.put(K, json=1, headers={"If-Match": '"99"'})).json()["current"][
        "value"
    ] == SECRET
