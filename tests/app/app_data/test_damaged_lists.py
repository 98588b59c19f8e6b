"""A row that was damaged outside of Satchel is left out of lists of values, and told; what is
before it and behind it comes."""

from typing import Any

import pytest
from bson import Binary, Decimal128

from app.settings import Settings
from models.app_data import AppData
from models.base import Raw
from tests.cast import Cast
from tests.factories.app_data import DATA
from tests.factories.damage import DAMAGE, every_damage, set_aside
from tests.factories.queries import build, declare
from tests.harness import Caller

DECLARED = {"queries": {"byN": {"prefix": "", "by": [{"pointer": "/n"}]}}}
VALUES = {"decimal": Decimal128("1"), "bytes": Binary(b"x", 4), "far": DAMAGE["far"]}
ELSEWHERE = ("userId", "appId", "deleted", "queryKeys")
"""Without them no list finds it."""


def kept(row: Raw) -> list[tuple[Raw, str]]:
    bad = every_damage(row, but=ELSEWHERE)
    return bad + [({**row, "value": {"n": [odd]}}, kind) for kind, odd in VALUES.items()]


async def listed(caller: Caller, **query: Any) -> list[str]:
    """The keys of all pages."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        more = {"cursor": cursor} if cursor else {}
        answer = await caller.get(DATA, params={**query, **more})
        assert answer.status_code == 200, answer.text
        found += [each["dataKey"] for each in answer.json()["items"]]
        cursor = answer.json()["nextCursor"]
        assert len(found) < 9
    return found


@pytest.mark.parametrize("query", [{}, {"fields": "version"}, {"query": "byN"}], ids=str)
@pytest.mark.parametrize(("limit", "size"), [(2, 1), (50, 1), (100, 100_000)])
async def test_a_list_goes_on_without_it(
    cast: Cast, base_settings: Settings, query: dict[str, str], limit: int, size: int
) -> None:
    """A value of more bytes than its share of a page is read by itself."""
    await declare(cast, DECLARED)
    await build(base_settings)
    for number, key in enumerate("abcd"):
        assert (
            await cast.owner.put(f"{DATA}/{key}", json={"n": number, "pad": "x" * size})
        ).status_code == 201
    row = await AppData.raw().find_one({"dataKey": "b"}) or {}
    wrong = []
    for bad, what in kept(row):
        await AppData.raw().replace_one({"_id": row["_id"]}, bad)
        before = set_aside("appdata")
        found = await listed(cast.owner, limit=limit, **query)
        others = [key for key in found if key != "b"]
        if others != ["a", "c", "d"] or len(found) > 4:
            wrong.append((what, found))
        if what.startswith("version") and (len(found) > 3 or set_aside("appdata") == before):
            wrong.append((what, found, set_aside("appdata") - before))
    assert wrong == []
