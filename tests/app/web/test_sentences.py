"""What is said of a wrong field is ours: no sentence of pydantic or of another library reaches a
client."""

import ast
import re
from typing import Annotated, Any, get_args

import pytest
from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError, PydanticKnownError
from pydantic_core._pydantic_core import list_all_errors
from pydantic_core.core_schema import ErrorType

from app.web.validation.errors import validation_problem
from app.web.validation.sentences import SENTENCES
from models.base import Reference, Timestamp
from scripts.rooms import sources
from tests.cast import Cast

ERRORS: dict[str, Any] = {error["type"]: error for error in list_all_errors()}
_CALLS = {
    "value_error": ValueError("a library's words"),
    "assertion_error": AssertionError("an assertion's words"),
}


def said_of(raised: Exception) -> str:
    """The detail of the problem that a field gets whose validation raises this."""

    def refuse(_: Any) -> Any:
        raise raised

    class Body(BaseModel):
        field: Annotated[str, BeforeValidator(refuse)]

    return detail_of(Body, {"field": "x"})


def detail_of(kind: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    errors = caught.value.errors()
    found = (
        validation_problem(errors, "").errors
        if errors[0]["type"] != "json_invalid"
        else [{"detail": ""}]
    )
    return str(found[0]["detail"])


def fragments(error: Any) -> list[str]:
    """The fixed parts of pydantic's own sentences of one type of error."""
    templates = [error["message_template_python"], error.get("message_template_json") or ""]
    parts = [
        part.strip(" ,.:'\"") for template in templates for part in re.split(r"\{\w+\}", template)
    ]
    return [part for part in parts if len(part) > 11]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_type_of_error_is_said_in_a_sentence_of_ours(kind: str) -> None:
    error = ERRORS[kind]
    context = {**(error["example_context"] or {})}
    if kind in _CALLS:
        context = {"error": _CALLS[kind]}
    make: Any = PydanticKnownError
    raised = make(kind, context or None)
    told = said_of(raised)
    original = str(raised)
    assert told != original and not any(part in told for part in fragments(error))
    assert kind == "json_invalid" or re.fullmatch(r"it[s ].+|there is no such field here", told), (
        told
    )
    assert "{" not in told


def test_every_type_of_error_has_a_sentence_and_no_sentence_is_left_over() -> None:
    assert SENTENCES.keys() == ERRORS.keys() == set(get_args(ErrorType))


def test_no_module_that_answers_clients_takes_pydantics_words() -> None:
    taking = {
        module
        for module, tree in sources().items()
        for node in ast.walk(tree)
        if module.startswith("app.")
        and isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and node.slice.value == "msg"
    }
    assert taking == {"app.settings.faults"}  # these are told to whoever starts Satchel


def test_an_error_of_a_type_that_nobody_knows_is_said_in_our_words_too() -> None:
    told = said_of(PydanticCustomError("path_not_file", "Path does not point to a file"))
    assert told == "it does not have the form that is taken here"


def test_a_validator_of_ours_speaks_for_itself_and_one_of_a_library_does_not() -> None:
    assert (
        detail_of(Timestamp, "0001-01-01T00:00:00+05:00")
        == "the time is outside the years 1 to 9999 in UTC"
    )
    assert detail_of(Reference, "me") == detail_of(Reference, None) == "an id has 24 hex digits"
    assert (
        said_of(ValueError("Id must be of type X"))
        == "it does not have the form that is taken here"
    )
    assert (
        said_of(UnicodeDecodeError("utf-8", b"", 0, 1, "why"))
        == "it does not have the form that is taken here"
    )


REFUSED: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/users", {"surname": "x"}, "/surname: there is no such field here"),
    ("POST", "/v1/users", {"name": 7}, "/name: it must be a string"),
    ("POST", "/v1/users", [], "the body: it must be an object"),
    ("POST", "/v1/users", None, "the body: it is missing"),
    (
        "POST",
        "/v1/users",
        {"role": "king"},
        "/role: it must be one of: 'creator', 'agency', 'brand', 'gifter', 'admin'",
    ),
    ("POST", "/v1/api-keys", {"scopes": []}, "/name: it is missing"),
    (
        "POST",
        "/v1/api-keys",
        {"name": "", "scopes": ["admin"]},
        "/name: it has too few characters (at least 1)",
    ),
    ("POST", "/v1/analytics/events", {"appId": 1}, "/appId: it must be a string"),
    (
        "POST",
        "/v1/users/{}/activity",
        {"appId": "a", "eventType": "x", "timestamp": "soon"},
        "/timestamp: it must",
    ),
    ("PATCH", "/v1/users/{}", {"surname": "x"}, "/surname: there is no such field here"),
    ("PATCH", "/v1/users/{}", {"name": ["x"]}, "/name: it must be a string"),
    ("PATCH", "/v1/users/{}/profile", {"avatar": "x"}, "/avatar: it must be an object"),
    (
        "PUT",
        "/v1/users/{}/preferences",
        {"theme": 1},
        "/theme: it must be one of: 'light', 'dark', 'auto'",
    ),
    (
        "PUT",
        "/v1/apps/notes",
        {"requireVersion": "perhaps"},
        "/requireVersion: it must be true or false",
    ),
    ("GET", "/v1/users?limit=0", None, "?limit: it must be at least 1"),
    ("GET", "/v1/users?limit=201", None, "?limit: it must be at most 200"),
    ("GET", "/v1/users?limit=x", None, "?limit: it must be an integer"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "says"), REFUSED, ids=[f"{m} {s}" for m, _, _, s in REFUSED]
)
async def test_routes_answer_in_our_words(
    cast: Cast, method: str, path: str, body: Any, says: str
) -> None:
    headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
    user = (await cast.owner.get("/v1/users/me")).json()["id"]
    sent = {} if body is None else {"json": body}
    answer = await cast.admin.request(method, path.format(user), headers=headers, **sent)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(says)
    assert not any(part in answer.text for error in ERRORS.values() for part in fragments(error))
