"""A property that fails is made small in bounded time, and takes as long as it takes until then."""

from hypothesis import Phase, settings
from hypothesis.internal.conjecture import engine


def test_hypothesis_is_bounded() -> None:
    assert engine.MAX_SHRINKING_SECONDS < 60
    assert Phase.explain not in settings.default.phases
    assert Phase.shrink in settings.default.phases
    assert settings.default.deadline is None
