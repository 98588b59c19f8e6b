"""`errors[].code` is one of a small set of our own, whatever pydantic calls it."""

import ast
from typing import Any, get_args

import pytest
from pydantic_core.core_schema import ErrorType

from app.errors.codes import FIELD_CODES
from app.web.validation.errors import field_code
from scripts.docs import errors_page
from scripts.rooms import sources
from tests.cast import Cast

_RAISES = {"Invalid.field": 1, "UnstorableValue": 1}


def literal_codes() -> set[str]:
    """The codes that stand in the source: second argument of `Invalid.field` and
    `UnstorableValue`."""
    calls = [
        node for tree in sources().values() for node in ast.walk(tree) if isinstance(node, ast.Call)
    ]
    found = [
        call.args[_RAISES[ast.unparse(call.func)]]
        for call in calls
        if ast.unparse(call.func) in _RAISES
    ]
    return {
        code.value
        for code in found
        if isinstance(code, ast.Constant) and isinstance(code.value, str)
    }


def test_every_code_is_listed() -> None:
    assert literal_codes() <= FIELD_CODES.keys()
    assert {"too_deep", "conflicting", "unknown_user"} <= literal_codes()


@pytest.mark.parametrize("kind", get_args(ErrorType))
def test_every_error_of_pydantic_has_a_code_of_ours(kind: str) -> None:
    assert field_code(kind) in FIELD_CODES


def test_the_page_lists_them() -> None:
    page = errors_page()
    assert all(f"| `{code}` | {meaning} |" in page for code, meaning in FIELD_CODES.items())


KEY = {"name": "x", "scopes": ["data:read"]}


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"scopes": ["data:read"]}, "/name", "missing"),
        ({**KEY, "hash": "x"}, "/hash", "unknown"),
        ({**KEY, "scopes": ["all"]}, "/scopes/0", "not_allowed"),
        ({**KEY, "scopes": []}, "/scopes", "too_short"),
        ({**KEY, "name": "x" * 256}, "/name", "too_long"),
        ({**KEY, "name": 5}, "/name", "wrong_type"),
        ({**KEY, "appId": "a b"}, "/appId", "malformed"),
        ({**KEY, "expiresAt": "tomorrow"}, "/expiresAt", "malformed"),
        ([], "", "wrong_type"),
    ],
    ids=repr,
)
async def test_what_is_wrong_with_a_field_is_said_in_our_words(
    cast: Cast, body: Any, pointer: str, code: str
) -> None:
    error = (await cast.admin.post("/v1/api-keys", json=body)).json()["errors"][0]
    assert (error["pointer"], error["code"]) == (pointer, code)


async def test_a_name_that_is_wrong_is_pointed_to_as_a_member_is(cast: Cast) -> None:
    query = {"prefix": "task:", "by": [{"pointer": "/due"}]}
    answer = await cast.admin.put("/v1/apps/notes", json={"queries": {"by due!": query}})
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/queries/by due!", "malformed")


@pytest.mark.parametrize(
    ("keep", "found"),
    [
        ({"user": "x"}, [("/keep/user", "not_allowed")]),
        ({"shoes": "target"}, [("/keep/shoes", "not_allowed")]),
        ("nobody", [("/keep", "not_allowed"), ("/keep", "wrong_type")]),
    ],
    ids=repr,
)
async def test_of_several_forms_the_one_that_was_meant_is_complained_of(
    cast: Cast, keep: Any, found: list[tuple[str, str]]
) -> None:
    body = {"into": cast.stranger.id, "keep": keep}
    answer = await cast.admin.post(f"/v1/users/{cast.owner.id}/merge", json=body)
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == found


async def test_a_limit_that_is_too_large_is_out_of_range(cast: Cast) -> None:
    error = (await cast.admin.get("/v1/users", params={"limit": 201})).json()["errors"][0]
    assert (error["pointer"], error["code"]) == ("?limit", "out_of_range")


@pytest.mark.parametrize(
    "path", ["/v1/users/me/profile", "/v1/users/me/apps/notes/data/k", "/v1/users/me"]
)
async def test_a_create_of_what_is_there_says_that_it_is(cast: Cast, path: str) -> None:
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={})
    method = "DELETE" if path == "/v1/users/me" else "PUT"
    refused = await cast.owner.request(method, path, json={}, headers={"If-None-Match": "*"})
    assert (refused.status_code, refused.json()["detail"]) == (412, "it exists already")
    stale = await cast.owner.request(method, path, json={}, headers={"If-Match": '"77"'})
    assert (stale.status_code, stale.json()["detail"]) == (
        412,
        "the stored document has another version",
    )


async def test_an_app_that_is_there_is_not_created(cast: Cast) -> None:
    await cast.admin.put("/v1/apps/notes", json={})
    for body in ({}, {"id": "notes"}):
        refused = await cast.admin.put("/v1/apps/notes", json=body, headers={"If-None-Match": "*"})
        assert (refused.status_code, refused.json()["detail"]) == (412, "it exists already")
