"""Lists of large values: pages are cut by bytes, nothing is left out, and no more is fetched than
is sent."""

from typing import Any

import pytest
from bson import ObjectId

from app.app_data import routes
from models.app_data import AppData
from models.base import Raw
from tests.cast import Cast

DATA = "/v1/users/me/apps/notes/data"
KIB = 1024


async def store(cast: Cast, sizes: list[int]) -> list[str]:
    for number, size in enumerate(sizes):
        key = (ObjectId(cast.owner.id), "notes", f"k{number:03}")
        await AppData.put(*key, "x" * (size - 2), size=size, by="test")
    return [f"k{number:03}" for number in range(len(sizes))]


async def pages(cast: Cast, **params: Any) -> list[list[Raw]]:
    found, cursor = [], None
    while True:
        answer = await cast.owner.get(
            DATA, params={**params, **({"cursor": cursor} if cursor else {})}
        )
        assert answer.status_code == 200
        found.append(answer.json()["items"])
        cursor = answer.json()["nextCursor"]
        if cursor is None:
            return found


async def test_a_page_has_8_mib_of_values_at_most(cast: Cast) -> None:
    keys = await store(cast, [512 * KIB] * 20)
    found = await pages(cast, limit=200)
    assert [len(page) for page in found] == [16, 4]
    assert [row["dataKey"] for page in found for row in page] == keys
    assert all(len(row["value"]) == 512 * KIB - 2 for page in found for row in page)
    assert all(
        set(row) == {"dataKey", "value", "version", "createdAt", "updatedAt"} for row in found[0]
    )


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
async def test_nothing_is_left_out_whatever_the_sizes(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(routes, "_PAGE_BYTES", 1000)
    sizes = [10, 2000, 500, 499, 2, 2, 5000, 999, 1000, 1001, 3, 3]
    keys = await store(cast, sizes)
    found = await pages(cast, limit=limit)
    assert [row["dataKey"] for page in found for row in page] == keys
    assert [len(row["value"]) + 2 for page in found for row in page] == sizes
    for page in found:
        assert 1 <= len(page) <= limit
        assert len(page) == 1 or sum(len(row["value"]) + 2 for row in page) <= 1000


async def test_chosen_fields_are_those_of_large_values_too(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_PAGE_BYTES", 1000)
    await store(cast, [900, 10])
    found = await pages(cast, fields="value,updatedAt")
    assert [set(row) for page in found for row in page] == [
        {"dataKey", "value", "version", "updatedAt"}
    ] * 2
    without = await pages(cast, fields="createdAt")
    assert [[set(row) for row in page] for page in without] == [
        [{"dataKey", "version", "createdAt"}] * 2
    ]


async def test_no_more_is_fetched_than_is_sent(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    await store(cast, [100 * KIB] * 30)
    reads: list[str] = []
    find_envelope = AppData.find_envelope

    async def counted(user_id: ObjectId, app_id: str, key: str) -> Raw | None:
        reads.append(key)
        return await find_envelope(user_id, app_id, key)

    monkeypatch.setattr(AppData, "find_envelope", counted)
    monkeypatch.setattr(routes, "_PAGE_BYTES", 1000 * KIB)
    first = await AppData.find_by_user_and_app(
        ObjectId(cast.owner.id), "notes", limit=31, share=1000 * KIB // 31
    )
    assert not any("value" in row for row in first)
    answer = await cast.owner.get(DATA, params={"limit": 30})
    assert len(answer.json()["items"]) == len(reads) == 10
