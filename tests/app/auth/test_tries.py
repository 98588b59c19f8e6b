"""The arithmetic of guessing: less than one success in ten thousand days per recipient, whoever
tries how often."""

import pytest

from app.auth.codes.tries import KNOWN, LONGEST, STRANGERS, Step


def test_all_tries_of_a_day_together_succeed_less_than_once_in_ten_thousand_days() -> None:
    beyond = Step(LONGEST, 1_000_000_000)
    assert sum(step.odds for step in (*STRANGERS, *KNOWN, beyond)) < 1 / 10_000


@pytest.mark.parametrize("steps", [STRANGERS, KNOWN], ids=["strangers", "known"])
def test_each_step_has_more_digits_and_more_tries_than_the_one_before(
    steps: tuple[Step, ...],
) -> None:
    assert [step.digits for step in (*steps, Step(LONGEST, 0))] == [6, 8, 10, 12, 16]
    assert list(steps) == sorted(steps, key=lambda step: step.tries)
    assert steps[0].tries >= 2 * 10  # the most tries that a challenge can be set to have, twice
