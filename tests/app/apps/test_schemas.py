"""Schemas of an app's values: what they let in, what they say of the rest, and what is no
schema."""

from typing import Any

import pytest

from app.apps.json_schemas import Schema, Schemas
from models.app import App
from models.app_data import AppData
from tests.cast import Cast
from tests.harness import Api, Caller

DATA = "/v1/users/me/apps/notes/data"
TASK = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1, "maxLength": 20},
        "done": {"type": "boolean"},
        "prio": {"enum": [1, 2, 3]},
        "due": {"type": "string", "format": "date"},
        "a/b~": {"type": "integer", "minimum": 0},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}, "maxItems": 3},
    },
    "required": ["title"],
    "additionalProperties": False,
    "$defs": {"part": {"anyOf": [{"type": "null"}, {"type": "object", "required": ["name"]}]}},
}


async def register(cast: Cast, schemas: dict[str, Any], **more: Any) -> Any:
    return await cast.admin.put("/v1/apps/notes", json={"schemas": schemas, **more})


def told(answer: Any) -> list[tuple[str, str]]:
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


@pytest.fixture
async def typed(cast: Cast) -> Cast:
    assert (await register(cast, {"task:*": TASK}, history=5)).status_code == 201
    return cast


@pytest.mark.parametrize(
    ("value", "faults"),
    [
        ({"title": "Row"}, None),
        ({"title": "Row", "parts": [None, {"name": 1}], "due": "2026-11-20"}, None),
        ({}, [("/title", "missing")]),
        ([], [("", "wrong_type")]),
        (5, [("", "wrong_type")]),
        ({"title": ""}, [("/title", "too_short")]),
        ({"title": "x" * 21, "x": 1}, [("/title", "too_long"), ("/x", "unknown")]),
        (
            {"title": "a", "prio": 4, "due": "soon"},
            [("/prio", "not_allowed"), ("/due", "malformed")],
        ),
        ({"title": "a", "a/b~": -1}, [("/a~1b~0", "out_of_range")]),
        ({"title": "a", "parts": [None, {}]}, [("/parts/1", "malformed")]),
    ],
    ids=repr,
)
async def test_a_value_fits_or_its_faults_are_named(typed: Cast, value: Any, faults: Any) -> None:
    answer = await typed.owner.put(f"{DATA}/task:1", json=value)
    if faults is None:
        assert answer.status_code == 201
    else:
        assert sorted(told(answer)) == sorted(faults)
        assert await AppData.raw().count_documents({}) == 0


async def test_a_patch_is_held_against_what_it_makes(typed: Cast) -> None:
    await typed.owner.put(f"{DATA}/task:1", json={"title": "a", "done": False})
    assert told(await typed.owner.merge(f"{DATA}/task:1", {"title": None})) == [
        ("/title", "missing")
    ]
    adds = [{"op": "add", "path": "/parts", "value": [{}]}]
    assert told(await typed.owner.patch(f"{DATA}/task:1", adds)) == [("/parts/0", "malformed")]
    assert (await typed.owner.merge(f"{DATA}/task:1", {"done": True})).json()["version"] == 2


async def test_what_does_not_fit_any_more_is_not_restored_and_can_be_deleted(typed: Cast) -> None:
    path = f"{DATA}/task:1"
    await typed.owner.put(path, json={"title": "a"})
    await typed.owner.put(path, json={"title": "b", "done": True})
    await register(typed, {"task:*": {"required": ["done"]}}, history=5)
    assert told(await typed.owner.post(f"{path}/restore", json={"version": 1})) == [
        ("/done", "missing")
    ]
    assert (await typed.owner.get(path)).json() == {"title": "b", "done": True}
    assert (await typed.owner.delete(path)).status_code == 204


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("settings", "exact"),
        ("settings2", "any"),
        ("task:1", "task"),
        ("task:a:1", "longer"),
        ("task", "any"),
    ],
)
async def test_the_key_itself_goes_before_the_longest_beginning(
    cast: Cast, key: str, wanted: str
) -> None:
    patterns = {"*": "any", "task:*": "task", "task:a*": "longer", "settings": "exact"}
    assert (
        await register(cast, {name: {"const": word} for name, word in patterns.items()})
    ).status_code == 201
    for word in patterns.values():
        answer = await cast.owner.put(f"{DATA}/{key}", json=word)
        assert answer.is_success == (word == wanted), word


async def test_other_apps_and_other_keys_are_free(typed: Cast) -> None:
    assert (await typed.owner.put(f"{DATA}/other", json=5)).status_code == 201
    assert (await typed.owner.put("/v1/users/me/apps/boats/data/task:1", json=5)).status_code == 201


async def test_schemas_come_back_as_they_were_sent(cast: Cast) -> None:
    schemas = {
        "a.b": {"$ref": "#/$defs/x", "$defs": {"x": {"type": ["null", "string"]}, "$y": True}},
        "*": False,
    }
    await register(cast, {"x": True})
    assert (await register(cast, schemas)).json()["schemas"] == schemas
    assert (await cast.admin.get("/v1/apps/notes")).json()["schemas"] == schemas
    assert told(await cast.owner.put(f"{DATA}/a.b", json=5)) == [("", "wrong_type")]
    found = await App.find_by_id("notes")
    assert found is not None
    assert found.schemas == schemas


@pytest.mark.parametrize(
    ("schemas", "pointer", "code"),
    [
        ({"a": {"type": "strin"}}, "/schemas/a/type", "malformed"),
        (
            {"a": {"properties": {"b": {"minLength": -1}}}},
            "/schemas/a/properties/b/minLength",
            "malformed",
        ),
        ({"a~b*": {"$ref": "https://example.com/x"}}, "/schemas/a~0b*/$ref", "unacceptable_url"),
        ({"a": {"items": {"$ref": "x.json"}}}, "/schemas/a/items/$ref", "unacceptable_url"),
        (
            {"a": {"$dynamicRef": "file:///etc/passwd"}},
            "/schemas/a/$dynamicRef",
            "unacceptable_url",
        ),
        ({"a": {"$ref": "#/$defs/none"}}, "/schemas/a", "malformed"),
        (
            {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}},
            "/schemas/a/$schema",
            "not_allowed",
        ),
        ({"a": {"pattern": "("}}, "/schemas/a/pattern", "malformed"),
        ({"a": {"pattern": "(?=a)b"}}, "/schemas/a/pattern", "malformed"),
        ({"a": {"pattern": "(a)\\1"}}, "/schemas/a/pattern", "malformed"),
        ({"a": {"pattern": "a{1,1000}{1,1000}"}}, "/schemas/a/pattern", "malformed"),
        (
            {"a": {"patternProperties": {"(?!x)": True}}},
            "/schemas/a/patternProperties/(?!x)",
            "malformed",
        ),
        ({"a": {"enum": [*range(1001)]}}, "/schemas/a/enum", "too_many"),
        ({"a": {"allOf": [{"pattern": "a"}] * 101}}, "/schemas/a", "too_many"),
        ({"a": {"description": "x" * 70_000}}, "/schemas", "too_long"),
        ({"a": {"allOf": [{"$id": "urn:b"}]}}, "/schemas/a/allOf/0/$id", "not_allowed"),
        ({"a": 5}, "/schemas/a", "wrong_type"),
        ({"a": [True]}, "/schemas/a", "wrong_type"),
        ([], "/schemas", "wrong_type"),
        ({f"k{number}": True for number in range(51)}, "/schemas", "too_long"),
    ],
    ids=lambda part: repr(part)[:60],
)
async def test_what_is_no_schema_is_refused_where_it_is_wrong(
    cast: Cast, schemas: Any, pointer: str, code: str
) -> None:
    answer = await register(cast, schemas)
    assert answer.status_code == 422, answer.text
    error = answer.json()["errors"][0]
    assert (error["pointer"], error["code"]) == (pointer, code)
    assert await App.raw().count_documents({}) == 0


@pytest.mark.parametrize("pattern", ["", "a*b", "*a", "**", "a b", "é*", "x" * 257])
async def test_a_pattern_is_a_key_or_a_beginning(cast: Cast, pattern: str) -> None:
    assert (await register(cast, {pattern: True})).status_code == 422


async def test_a_ref_in_data_is_data(cast: Cast) -> None:
    schema = {
        "const": {"$ref": "https://example.com"},
        "default": {"$schema": "x"},
        "properties": {"$ref": True},
    }
    assert (await register(cast, {"*": schema})).status_code == 201
    assert (
        await cast.owner.put(f"{DATA}/k", json={"$ref": "https://example.com"})
    ).status_code == 201


def test_twenty_faults_are_told_at_most() -> None:
    faults = Schema("k", {"items": {"type": "string"}}).faults([0] * 100)
    assert [fault["pointer"] for fault in faults] == [f"/{number}" for number in range(20)]


async def test_what_a_patch_did_not_touch_is_not_quoted(typed: Cast, api: Api) -> None:
    """A key that may only write learns nothing of what is stored."""
    await typed.owner.put(f"{DATA}/free", json={"secret": "planted", "n": 1})
    await register(typed, {"free": {"properties": {"secret": {"maxLength": 3}, "n": {"const": 1}}}})
    blind = await api.key("data:write", app_id="notes")
    answer = await blind.merge(f"/v1/users/{typed.owner.id}/apps/notes/data/free", {"x": 1})
    assert told(answer) == [("/secret", "too_long")]
    assert "planted" not in answer.text


CHECK = "/v1/apps/notes/schemas/check"


async def check(caller: Caller, body: Any, **params: Any) -> Any:
    answer = await caller.post(CHECK, json=body, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def filled(cast: Cast) -> None:
    for number in range(7):
        await cast.owner.put(f"{DATA}/n:{number}", json={"n": number})
    await cast.stranger.put(f"{DATA}/n:9", json={"n": "x"})
    await cast.owner.put("/v1/users/me/apps/boats/data/n:1", json={"n": "x"})
    await cast.owner.delete(f"{DATA}/n:0")


async def test_a_dry_run_names_what_would_not_fit_and_changes_nothing(cast: Cast) -> None:
    await filled(cast)
    schemas = {"n:*": {"properties": {"n": {"type": "integer", "maximum": 4}}}}
    found = await check(cast.admin, {"schemas": schemas})
    assert (found["checked"], found["nextCursor"]) == (7, None)
    named = [(each["userId"], each["dataKey"], each["version"]) for each in found["misfits"]]
    assert named == [
        (cast.owner.id, "n:5", 1),
        (cast.owner.id, "n:6", 1),
        (cast.stranger.id, "n:9", 1),
    ]
    assert {error["pointer"] for each in found["misfits"] for error in each["errors"]} == {"/n"}
    assert await App.raw().count_documents({}) == 0
    await register(cast, schemas)
    assert await check(cast.admin, {}) == found


@pytest.mark.parametrize("limit", [1, 2, 3, 8])
async def test_a_dry_run_goes_on_where_it_stopped(cast: Cast, limit: int) -> None:
    await filled(cast)
    body, checked, misfits, cursor = {"schemas": {"*": False}}, 0, [], None
    while True:
        found = await check(cast.admin, body, limit=limit, **({"cursor": cursor} if cursor else {}))
        checked, misfits = checked + found["checked"], misfits + found["misfits"]
        cursor = found["nextCursor"]
        if cursor is None:
            break
    assert (checked, [each["dataKey"] for each in misfits]) == (
        7,
        [*(f"n:{number}" for number in range(1, 7)), "n:9"],
    )


async def test_a_page_of_a_dry_run_is_bounded_by_bytes(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(cast)
    monkeypatch.setattr("app.apps.json_schema_check._PAGE_BYTES", 1)
    found = await check(cast.admin, {"schemas": {"*": True}})
    assert found["checked"] <= 1
    assert found["nextCursor"] is not None


async def test_a_dry_run_is_for_admins_of_an_app_that_is_there(cast: Cast) -> None:
    for caller in (cast.owner, cast.stranger, cast.app_key, cast.reader):
        assert (await caller.post(CHECK, json={})).status_code == 403
    assert (await cast.nobody.post(CHECK, json={})).status_code == 401
    assert (await cast.admin.post(CHECK, json={})).status_code == 404
    refused = await cast.admin.post(CHECK, json={"schemas": {"a": {"type": 5}}})
    assert told(refused)[0][0].startswith("/schemas/a/type")
    assert told(await cast.admin.post(CHECK, json={"x": 1})) == [("/x", "unknown")]


def test_all_schemas_together_are_bounded() -> None:
    assert Schemas({"k": {"description": "x" * 60_000}}).of_key("k") is not None


async def test_large_integers_that_come_from_the_database_are_integers(cast: Cast) -> None:
    """The driver has a kind of its own for those of 64 bits, which the library knows nothing of: a
    moment in milliseconds is one."""
    late = 1_800_000_000_000
    moment = {"properties": {"at": {"type": "integer", "minimum": late}}, "required": ["at"]}
    assert (await register(cast, {"n:*": moment}, history=5)).is_success
    path = f"{DATA}/n:1"
    for number in (late, late + 1):
        stored = await cast.owner.put(path, json={"at": number, "parts": [number]})
        assert stored.is_success, stored.text
    assert (await cast.owner.merge(path, {"done": True})).status_code == 200
    appended = [{"op": "add", "path": "/parts/-", "value": 1}]
    assert (await cast.owner.patch(path, appended)).status_code == 200
    assert (await cast.owner.post(f"{path}/restore", json={"version": 1})).status_code == 200
    write = {"dataKey": "n:1", "mergePatch": {"done": False}}
    batch = await cast.owner.post("/v1/users/me/apps/notes/batch", json={"writes": [write]})
    assert batch.json()["results"][0]["status"] == "stored", batch.text
    assert (await check(cast.admin, {}))["misfits"] == []
    later = {"n:*": {"properties": {"at": {"type": "integer", "minimum": late + 1}}}}
    (misfit,) = (await check(cast.admin, {"schemas": later}))["misfits"]
    assert misfit["errors"][0]["pointer"] == "/at"
    assert told(await cast.owner.merge(path, {"at": late - 1})) == [("/at", "out_of_range")]
