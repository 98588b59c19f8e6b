"""Texts that are nobody's id, and those that look like it and are somebody's."""

import pytest

from models.nobody import is_nobody, is_unset

NOBODY = [
    "null", "NULL", "Null", "undefined", "None", "nil", "NaN", "[object Object]",
    "[object Undefined]", "0", "000",
    "-1",
    "00000000-0000-0000-0000-000000000000", "0" * 24, "", " ", "\t", "anonymous", "Anonymous",
    "guest", "GUEST",
    "unknown", "true", "false", "id", "email", "distinct_id", "not_authenticated", '"null"',
    "'undefined'", "(null)",
    "<null>", "(not set)", "{}", "[]", "N/A", "{{user.id}}", "${userId}", "<%= id %>", "%USER_ID%",
    "nullnull",
    "undefined-undefined", "null null", "\ufeffnull", " null ",
]  # fmt: skip
SOMEBODY = [
    "1", "7", "10", "00000000-0000-0000-0000-000000000001", "u-0", "nullable", "null-7", "Ann",
    "guest-17",
    "anonymous42", "anon",
    "user-1", "nan.smith", "ann@example.com", "e" * 24, "object", "100%", "x" * 200, "Noneman",
    "{7}", "世",
]  # fmt: skip


@pytest.mark.parametrize("text", NOBODY, ids=ascii)
def test_it_is_nobodys(text: str) -> None:
    assert is_nobody(text)


@pytest.mark.parametrize("text", SOMEBODY, ids=ascii)
def test_it_is_somebodys(text: str) -> None:
    assert not is_nobody(text)


KINDS_OF_PEOPLE = {"false", "email", "distinct_id", "not_authenticated", "(not set)"}
NUMBERED = ["0", "000", "0-0", "-1", "id", "guest", "anonymous", "true", "unknown", "0" * 24]


UNSET = [text for text in NOBODY if text.casefold() not in {*NUMBERED, *KINDS_OF_PEOPLE}]


@pytest.mark.parametrize("text", [*SOMEBODY, *NUMBERED], ids=ascii)
def test_of_what_is_sent_it_may_be_the_id(text: str) -> None:
    assert not is_unset(text)


@pytest.mark.parametrize("text", UNSET, ids=ascii)
def test_it_is_what_a_fault_leaves(text: str) -> None:
    assert is_unset(text)
