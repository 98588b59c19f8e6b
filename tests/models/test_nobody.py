"""Texts that are nobody's id, and those that look like it and are somebody's."""

import pytest

from models.nobody import is_nobody

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
