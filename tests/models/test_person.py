"""Chains of merged people are followed to their end, and end whatever they are."""

import pytest

from models.person import PersonMerge, ends_of


def test_chains_end_and_circles_are_left_out() -> None:
    assert ends_of({1: 2, 2: 3, 8: 1}) == {1: 3, 2: 3, 8: 3}
    assert ends_of({4: 4, 5: 6, 6: 5, 7: 5, 1: 2}) == {1: 2}
    circle = {number: (number + 1) % 100_000 for number in range(100_000)}
    assert ends_of({**circle, 100_001: 5, 100_002: 100_003}) == {100_002: 100_003}


@pytest.mark.usefixtures("database")
async def test_merges_that_cannot_be_read_are_stepped_over() -> None:
    odd = [{"_id": 5}, {"_id": 6, "into": "x"}, {"_id": 7.5, "into": 1}, {"_id": 8, "into": -1}]
    odd += [{"_id": 2**40, "into": 1}, {"_id": 9, "into": True}, {"_id": 10, "into": 2**40}]
    await PersonMerge.raw().insert_many([*odd, {"_id": 1, "into": 2}])
    assert await PersonMerge.pending() == {1: 2}
