"""The try of a funnel that came furthest: the one that a plain search finds, in a bounded number of
steps."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.analytics.query.journeys import furthest
from tests.app.analytics.truth import plainly

NAMES = st.sampled_from("abc")
TIMES = st.lists(st.tuples(st.integers(0, 40), NAMES), max_size=15).map(
    lambda each: sorted(each, key=lambda one: one[0])
)


@given(TIMES, st.lists(NAMES, min_size=2, max_size=5), st.integers(1, 45), st.integers(1, 45))
def test_it_is_the_try_that_a_plain_search_finds(
    times: list[tuple[int, str]], steps: list[str], end: int, within: int
) -> None:
    assert furthest(times, steps, end, within) == plainly(times, steps, end, within)


class Counted(list[tuple[int, str]]):
    """A list that counts how many of its items were looked at."""

    looked = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        self.looked += len(self)
        return super().__iter__()

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        self.looked += len(found) if isinstance(place, slice) else 1
        return found


@pytest.mark.parametrize("steps", [["a", "b"], ["a", "a", "b"], ["a"] * 9 + ["b"]], ids=len)
@pytest.mark.parametrize("within", [5, 45, 10**9])
def test_one_person_with_very_many_events_costs_no_square_of_them(
    steps: list[str], within: int
) -> None:
    times = Counted((number * 10, "a") for number in range(5000))
    assert len(furthest(times, steps, 10**9, within)) == min(len(steps) - 1, within // 10 + 1)
    assert times.looked <= len(times) * (2 * len(steps) + 1)
