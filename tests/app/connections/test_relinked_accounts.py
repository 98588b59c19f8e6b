"""Accounts of a login that come back under other ids."""

from typing import Any

import pytest

from app.connections.providers.api import ToldAccount
from app.connections.relinks import Relinks
from tests.factories.relinks import before


def after(**fields: Any) -> ToldAccount:
    told: dict[str, Any] = {
        "name": "Checking",
        "type": "checking",
        "currency": "USD",
        "last_four": "1234",
    }
    return ToldAccount(
        **{
            "id": "new",
            **told,
            "status": "open",
            "enrollment_id": None,
            "institution": "bank",
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("old", "new", "becomes"),
    [
        ([{}], {}, "joined"),
        ([{"status": "closed"}], {}, "joined"),
        ([{}, {"last_four": "9"}], {}, "joined"),
        ([{}, {"last_four": None}], {}, "joined"),
        ([{}, {}], {}, "asked"),
        ([{"name": "My account"}], {}, "asked"),
        ([{"type": "savings"}], {}, "asked"),
        ([{"last_four": None}], {}, "asked"),
        ([{"institution": None}], {}, "asked"),
        ([{}], {"institution": None}, "asked"),
        ([{}], {"last_four": None}, "asked"),
        ([], {}, "new"),
        ([{"currency": "EUR"}], {}, "new"),
        ([{"last_four": "9"}], {}, "new"),
        ([{"institution": "other"}], {}, "new"),
        ([{"last_four": None, "name": "My account"}], {}, "asked"),
        ([{"last_four": None, "type": "savings"}], {}, "new"),
        ([{"name": "My account"}], {"status": "closed"}, "new"),
    ],
)
def test_what_becomes_of_an_account_under_another_id(
    old: list[Any], new: dict[str, Any], becomes: str
) -> None:
    found = Relinks.of([after(**new)], [before(**fields) for fields in old])
    assert ("joined" if found.joined else "asked" if found.undecided else "new") == becomes


def test_one_of_before_is_not_joined_to_two() -> None:
    found = Relinks.of([after(id="a"), after(id="b")], [before()])
    assert (found.joined, [each.provider_id for each in found.undecided]) == ({}, ["a", "b"])
    found = Relinks.of([after(id="a"), after(id="b", last_four=None)], [before()])
    assert (list(found.joined), found.undecided) == (["a"], [])
