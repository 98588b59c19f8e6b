"""How many digits a code has: the more tries there may be at one recipient's codes on one day, the
more digits.

A challenge counts with all of its tries from the moment it is made, so that what is under way is
never refused for what strangers do. What a challenge did not need is given back when its code was
right.
"""

from typing import Final, NamedTuple


class Step(NamedTuple):
    """Codes of so many digits, and how many tries at them a recipient's challenges have per day
    (UTC)."""

    digits: int
    tries: int

    @property
    def odds(self) -> float:
        """The chance per day that one of the tries is right."""
        return self.tries / float(10**self.digits)


STRANGERS: Final = (Step(6, 50), Step(8, 500), Step(10, 50_000), Step(12, 5_000_000))
KNOWN: Final = (Step(6, 25), Step(8, 250), Step(10, 25_000), Step(12, 2_500_000))
LONGEST: Final = (
    16  # of as many tries as anybody can make: a milliard a day have a chance of one in ten million
)
