"""Cursors of changes: good for one user, app, filter and epoch, and for as long as tombstones are
kept."""

from typing import Any

import pytest
from bson import ObjectId
from bson import Timestamp as ClusterTime
from hypothesis import given
from hypothesis import strategies as st

from app.errors import CursorExpired, Invalid
from app.sync.cursor import Cursor, cursor_at, decode, encode
from app.sync.horizon import DAY, TOMBSTONE_DAYS
from app.web import etags
from models.app_data_changes import Source
from models.base import now
from tests.cast import Cast
from tests.factories.changes import CHANGES, follow, put

ANNA, BEN = ObjectId(), ObjectId()
NOTES = Source(ANNA, "notes")
times = st.builds(ClusterTime, st.integers(1, 2**32 - 1), st.integers(0, 2**32 - 1))
digests = st.frozensets(st.binary(min_size=8, max_size=8), max_size=64)
positions = (
    st.none() | st.text("abc.~", min_size=1, max_size=256) | st.tuples(times, st.builds(ObjectId))
)


@given(
    st.builds(
        Cursor, st.none() | times, st.none() | times, positions, digests, st.booleans(), digests
    )
)
def test_a_cursor_comes_back_as_it_was(cursor: Cursor) -> None:
    text = encode(cursor, NOTES)
    assert decode(text, ANNA, "notes") == cursor
    assert len(text) <= 4096


@pytest.mark.parametrize("place", [(BEN, "notes"), (ANNA, "tasks")])
def test_a_cursor_of_another_user_or_app_is_none(place: tuple[ObjectId, str]) -> None:
    with pytest.raises(Invalid):
        decode(cursor_at(ANNA, "notes", ClusterTime(1, 1)), *place)


def test_a_cursor_that_was_tampered_with_is_none() -> None:
    text = encode(Cursor(at=ClusterTime(9, 9)), NOTES)
    for place in range(20, len(text)):  # behind the epoch, of which more is told
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        with pytest.raises((Invalid, CursorExpired)):
            decode(changed, ANNA, "notes")


@pytest.mark.parametrize("text", ["", "x", "é", "A" * 5000, "====", "AAAA" * 20, "a b"])
async def test_what_is_no_cursor_is_refused(cast: Cast, text: str) -> None:
    answer = await cast.owner.get(CHANGES, params={"since": text})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "?since"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "x"),
        ("wait", "26"),
        ("wait", "-1"),
        ("prefix", "x" * 257),
    ],
)
async def test_what_is_out_of_range_is_refused(cast: Cast, name: str, value: str) -> None:
    answer = await cast.owner.get(CHANGES, params={name: value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"?{name}"


async def expired(cast: Cast, cursor: str, **params: Any) -> str:
    answer = await cast.owner.get(CHANGES, params={"since": cursor, **params})
    body = answer.json()
    assert (answer.status_code, body["code"]) == (410, "cursor_expired"), answer.text
    assert "without since" in body["detail"]
    return str(body["detail"])


async def test_a_cursor_of_another_prefix_has_expired(cast: Cast) -> None:
    _, cursor = await follow(cast.owner, prefix="a")
    assert "prefix" in await expired(cast, cursor)
    assert "prefix" in await expired(cast, cursor, prefix="b")


async def test_a_cursor_of_another_epoch_has_expired(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cursor = await follow(cast.owner)
    monkeypatch.setitem(etags._epoch, "name", b"another")
    assert "epoch" in await expired(cast, cursor)


async def test_a_cursor_older_than_tombstones_has_expired_even_within_a_pass(cast: Cast) -> None:
    source = Source(ObjectId(cast.owner.id), "notes")
    kept, gone = (
        ClusterTime(int(now().timestamp()) - TOMBSTONE_DAYS * DAY + more, 1) for more in (60, -60)
    )
    await put(cast.owner, "a")
    for cursor in (
        Cursor(at=gone),
        Cursor(ends=gone, after="a"),
        Cursor(at=gone, ends=kept, after=(kept, ANNA)),
    ):
        assert "tombstones" in await expired(cast, encode(cursor, source))
    assert [
        each["dataKey"] for each in (await follow(cast.owner, encode(Cursor(at=kept), source)))[0]
    ] == ["a"]


async def test_nobody_reaches_anything_by_anothers_cursor(cast: Cast) -> None:
    await put(cast.owner, "a")
    _, cursor = await follow(cast.owner)
    path = CHANGES.replace("/me/", f"/{cast.owner.id}/")
    assert (await cast.stranger.get(path, params={"since": cursor})).status_code == 404
    assert (await cast.stranger.get(CHANGES, params={"since": cursor})).status_code == 422
