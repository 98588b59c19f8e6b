"""Bodies are walked as little as their bytes allow, and named as before where something is
wrong."""

from typing import Any

import pytest

from app.errors import Invalid
from app.web import body
from app.web.body import check_storable, parse_json
from models import values


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every value that is walked from its root."""
    walked: list[Any] = []

    def counted(value: Any, *rest: Any) -> None:
        walked.append(value)
        check(value, *rest)

    check = values.check_value
    monkeypatch.setattr(body, "check_value", counted)
    monkeypatch.setattr(values, "check_value", counted)
    return walked


def test_a_plain_body_is_not_walked(walks: list[Any]) -> None:
    assert parse_json(b'{"a":[1,2.5,"x",null]}') == {"a": [1, 2.5, "x", None]}
    assert walks == []


@pytest.mark.parametrize(
    "text", [b'{"a":1234567890123456789}', b'{"a":"\\u0000","b":1234567890123456789}']
)
def test_a_suspicious_body_is_walked_once(walks: list[Any], text: bytes) -> None:
    parse_json(text)
    assert len(walks) == 1


def test_what_a_patch_made_is_walked_only_on_a_suspicion(walks: list[Any]) -> None:
    assert check_storable({"a": [1, "x"]}) == b'{"a":[1,"x"]}'
    assert walks == []
    with pytest.raises(Invalid) as caught:
        check_storable({"a": [{"b\0": 1}]})
    assert caught.value.errors[0]["pointer"] == "/a/0/b\0"


def test_two_faults_are_named_as_the_first_parser_shows_them() -> None:
    """2^70 is a double to orjson, so that 2^63 is what is wrong."""
    with pytest.raises(Invalid) as caught:
        parse_json(b'{"a":1180591620717411303424,"b":9223372036854775808}')
    assert caught.value.errors[0]["pointer"] == "/b"
