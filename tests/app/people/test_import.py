"""People come in by lines: created, updated, left as they are, and never twice."""

import asyncio
import json
from typing import Any

import pytest
from bson import ObjectId

from app.people.rows import _made
from models import (
    Activity,
    AppData,
    AuditEvent,
    AuthIdentity,
    ExternalId,
    Preferences,
    Profile,
    User,
)
from models.app_data import AppData as Values
from models.base import now
from tests.app.people.conftest import Send, ndjson
from tests.cast import Cast
from tests.factories.people import ANN, counts, person
from tests.harness import Api, Caller


async def test_a_person_comes_in_with_all_that_is_told(send: Send, cast: Cast) -> None:
    (result,) = await send(ANN)
    assert result == {"line": 1, "status": "created", "id": result["id"]}
    path = f"/v1/users/{result['id']}"
    user = (await cast.admin.get(path)).json()
    told = {name: user[name] for name in ("email", "name", "valuUserId", "merkosUserId", "roles")}
    assert told == {
        "email": "ann@example.com",
        "name": "Ann",
        "valuUserId": "v-1",
        "merkosUserId": "m-1",
        "roles": ["user"],
    }
    assert user["authMethods"] == ["email", "phone", "google"]
    assert user["emailVerifiedAt"] is not None
    profile = (await cast.admin.get(f"{path}/profile")).json()
    assert (profile["displayName"], profile["bio"]) == ("Ann", "Boats.")
    assert profile["metadata"] == {"$ref": "kept"}
    preferences = (await cast.admin.get(f"{path}/preferences")).json()
    assert (preferences["theme"], preferences["language"]) == ("dark", "en")
    value = await cast.admin.get(f"{path}/apps/notes/data/settings")
    assert (value.json(), value.headers["etag"][:3]) == ({"$ref": "x", "n": 1.5}, '"1.')
    listed = (await cast.admin.get(f"{path}/apps/notes/data")).json()["items"]
    assert [each["dataKey"] for each in listed] == ["settings", "short"]
    assert "expiresAt" in listed[1]
    activity = (await cast.admin.get(f"{path}/activity")).json()["items"]
    assert [each["eventType"] for each in activity] == ["opened"]
    users = await ExternalId.users_of("crm", ["7"])
    assert users == {"7": ObjectId(result["id"])}


async def test_what_is_sent_again_changes_nothing(send: Send, cast: Cast) -> None:
    """Neither what was imported, nor what the person has changed since."""
    (first,) = await send(ANN)
    user_id = first["id"]
    await cast.admin.merge(f"/v1/users/{user_id}/profile", {"bio": "Mine."})
    await cast.admin.put(f"/v1/users/{user_id}/apps/notes/data/settings", json="mine")
    before = await counts()
    assert await send(ANN) == [{"line": 1, "status": "unchanged", "id": user_id}]
    assert await counts() == before
    profile = (await cast.admin.get(f"/v1/users/{user_id}/profile")).json()
    assert profile["bio"] == "Mine."
    value = await cast.admin.get(f"/v1/users/{user_id}/apps/notes/data/settings")
    assert value.json() == "mine"


async def test_a_line_that_differs_changes_what_differs(send: Send, cast: Cast) -> None:
    (first,) = await send(ANN)
    path = f"/v1/users/{first['id']}"
    value = {"appId": "notes", "dataKey": "settings", "value": "new"}
    changed = ANN | {"user": {"email": "ann@example.com", "name": "Ann B."}, "verified": []}
    changed |= {"appData": [value, *ANN["appData"][2:]], "profile": {"bio": "Still."}}
    assert (await send(changed))[0]["status"] == "updated"
    assert (await cast.admin.get(path)).json()["name"] == "Ann B."
    profile = (await cast.admin.get(f"{path}/profile")).json()
    assert (profile["bio"], profile["metadata"]) == ("Still.", {"$ref": "kept"})
    stored = (await cast.admin.get(f"{path}/apps/notes/data")).json()["items"]
    assert [(each["value"], each["version"]) for each in stored] == [("new", 2), (None, 1)]
    boats = (await cast.admin.get(f"{path}/apps/boats/data")).json()["items"]
    assert [each["version"] for each in boats] == [1]
    assert await Activity.raw().count_documents({}) == 1
    again = changed | {"verified": ["email"]}
    assert (await send(again))[0]["status"] == "unchanged"


async def test_the_rows_are_those_that_the_models_make(send: Send, database: Any) -> None:
    """Of a bare person, all that is stored is as `POST /v1/users` and `PUT` of a value store it."""
    (first,) = await send(person(1, appData=[ANN["appData"][2]]))
    user_id: Any = ObjectId(first["id"])
    own = {"id", "created_at", "updated_at", "imported_as", "changed_at", "changed_by"}
    user = await User.find_by_id(user_id)
    assert user is not None
    fresh = User(email="p1@example.com", name="P1")
    assert user.model_dump(exclude=own) == fresh.model_dump(exclude=own)
    row = await User.raw().find_one({"_id": user_id})
    assert row is not None and row.keys() == {*fresh.stored(), "_id", "importedAs"}
    for kind, made in (
        (Profile, Profile(user_id=user_id, display_name="P1")),
        (Preferences, Preferences(user_id=user_id)),
    ):
        stored = await kind.raw().find_one({"userId": user_id})
        expected = {**made.stored(), "createdAt": 0, "updatedAt": 0}
        assert {**(stored or {}), "createdAt": 0, "updatedAt": 0, "_id": 0} == expected | {"_id": 0}
    await Values.put(user_id, "boats", "other", [1, "two", {}], size=12, by="x")
    imported, put = [
        await AppData.raw().find_one({"dataKey": key}) or {} for key in ("list", "other")
    ]
    differing = {"_id", "dataKey", "createdAt", "updatedAt", "changedAt", "changedBy", "bytes"}
    assert imported.keys() == put.keys()
    assert all(imported[name] == put[name] for name in imported.keys() - differing)
    assert put["changedAt"].time - imported["changedAt"].time in range(60)


@pytest.mark.parametrize(
    ("line", "pointer", "code"),
    [
        ({"user": {"name": "Ann"}}, "/user", "missing"),
        ({"user": {"email": "none"}}, "/user/email", "malformed"),
        ({"user": {"valuUserId": "NULL"}}, "/user/valuUserId", "malformed"),
        ({"user": {"phone": "+14155550142"}}, "/verified", "missing"),
        ({"user": {"phone": "123"}, "verified": ["phone"]}, "/user/phone", "malformed"),
        (
            {"user": {"email": "straße@example.com"}, "verified": ["email"]},
            "/user/email",
            "malformed",
        ),
        (person(1, profile={"bio": "x" * 501}), "/profile/bio", "too_long"),
        (person(1, verified=["phone"]), "/user/phone", "missing"),
        (person(1, unknown=1), "/unknown", "unknown"),
        (person(1, user={"email": "p1@example.com", "roles": ["editor"]}), "/user/roles",
         "forbidden"),
        (person(1, user={"email": "p1@example.com", "role": "admin"}), "/user/role", "forbidden"),
        (person(1, appData=[ANN["appData"][0]] * 2), "/appData/1/dataKey", "duplicate"),
        (person(1, appData=[{"appId": "notes", "dataKey": "k"}]), "/appData/0/value", "missing"),
        (person(1, appData=[{"appId": "notes", "dataKey": "k", "value": 2**64}]),
         "/appData/0/value", "integer_too_large"),
        (person(1, appData=[{"appId": "notes", "dataKey": "k", "value": "x" * 600_000}]),
         "/appData/0/value", "too_long"),
        (person(1, activity=[{"appId": "n", "eventType": "e"}]), "/activity/0/timestamp",
         "missing"),
        (person(1, identities=[{"provider": "email", "providerId": "a@b.example"}]),
         "/identities/0/verified", "missing"),
        ("{", "", "malformed"),
    ],
)  # fmt: skip
async def test_a_line_that_is_wrong_says_where_and_keeps_no_other_out(
    importer: Caller, cast: Cast, line: Any, pointer: str, code: str
) -> None:
    before = await counts()
    text = (line.encode() + b"\n") if isinstance(line, str) else ndjson(line)
    body = text + b"\n" + ndjson(person(9))
    answer = await importer.post("/v1/users/import", content=body)
    wrong, right = [json.loads(each) for each in answer.text.splitlines()]
    assert (wrong["line"], wrong["status"]) == (1, "invalid")
    assert (wrong["errors"][0]["pointer"], wrong["errors"][0]["code"]) == (pointer, code)
    assert (right["line"], right["status"]) == (3, "created")
    assert (await counts())["User"] == before["User"] + 1


async def test_keys_of_two_people_are_a_conflict_that_says_which(send: Send) -> None:
    first, second = await send(
        {"user": {"email": "a@example.com"}}, {"user": {"valuUserId": "v-2"}}
    )
    (result,) = await send({"user": {"email": "a@example.com", "valuUserId": "v-2"}})
    assert result["status"] == "conflict"
    said = {each["pointer"]: each["detail"] for each in result["errors"]}
    assert first["id"] in said["/user/email"] and second["id"] in said["/user/valuUserId"]
    assert all(each["code"] == "duplicate" for each in result["errors"])


async def test_an_id_that_two_people_have_is_a_conflict(
    send: Send, importer: Caller, cast: Cast
) -> None:
    """`valuUserId` has no unique index: nobody says which of them is meant."""
    ids = []
    for email in ("a@example.com", "b@example.com"):
        made = await cast.admin.post("/v1/users", json={"email": email, "valuUserId": "v-1"})
        ids.append(made.json()["id"])
    (result,) = await send({"user": {"valuUserId": "v-1", "name": "Changed"}})
    assert (result["status"], result["errors"][0]["pointer"]) == ("conflict", "/user/valuUserId")
    assert all(user_id in result["errors"][0]["detail"] for user_id in ids)
    put = await importer.put("/v1/users/by/valuUserId/v-1", json={"user": {"name": "Changed"}})
    assert (put.status_code, put.json()["errors"][0]["pointer"]) == (409, "/user/valuUserId")
    assert await User.raw().count_documents({"name": "Changed"}) == 0


async def test_lines_about_one_person_follow_one_another(send: Send) -> None:
    """Within a request, by the same key or by others."""
    results = await send(
        {"user": {"email": "a@example.com", "valuUserId": "v-1"}},
        {"user": {"email": "a@example.com", "name": "Second"}},
        {"user": {"valuUserId": "v-1", "name": "Third"}},
        {"user": {"email": "b@example.com"}},
    )
    assert [each["status"] for each in results] == ["created", "updated", "updated", "created"]
    assert len({each["id"] for each in results}) == 2
    assert (await User.find_by_email("a@example.com") or User()).name == "Third"


@pytest.mark.parametrize(
    "line",
    [
        {"user": {"email": "one@example.com"}, "verified": ["email"]},
        {"user": {"valuUserId": "only"}},
        {"user": {"merkosUserId": "only"}},
        {"externalIds": [{"appId": "crm", "externalId": "only"}]},
        {"user": {"phone": "+14155550142"}, "verified": ["phone"]},
    ],
    ids=["email", "valuUserId", "merkosUserId", "externalId", "phone"],
)
async def test_racing_imports_of_one_person_make_one_person(send: Send, line: Any) -> None:
    others = [person(number) for number in range(5)]
    answers = await asyncio.gather(*(send(*others, line) for _ in range(6)))
    assert {each["status"] for results in answers for each in results} == {"created", "unchanged"}
    assert len({results[-1]["id"] for results in answers}) == 1
    assert [each["status"] for results in answers for each in results].count("created") == 6
    assert await User.raw().count_documents({}) == 6
    assert await Profile.raw().count_documents({}) == 6


async def test_a_dry_run_says_what_would_be_done_and_writes_nothing(send: Send) -> None:
    await send(person(1))
    before = await counts()
    lines = (person(1), person(1, profile={"bio": "new"}), ANN, {"user": {}})
    results = await send(*lines, dryRun=True)
    statuses = [each["status"] for each in results]
    assert statuses == ["unchanged", "updated", "created", "invalid"]
    assert await counts() == before
    assert await AuditEvent.raw().count_documents({"kind": "people_imported"}) == 1


async def test_no_admin_is_changed_by_who_is_none(send: Send, cast: Cast, api: Api) -> None:
    made = await cast.admin.post("/v1/users", json={"email": "r@example.com", "role": "admin"})
    line = {"user": {"email": "r@example.com"}, "verified": ["email"]}
    (refused,) = await send(line)
    assert (refused["status"], refused["errors"][0]["code"]) == ("conflict", "forbidden")
    assert await AuthIdentity.raw().count_documents({"userId": ObjectId(made.json()["id"])}) == 0
    (done,) = await send(line, by=cast.admin)
    assert done["status"] == "updated"


async def test_what_an_admin_imports_is_on_the_trail(send: Send, cast: Cast) -> None:
    granted = person(1, user={"email": "p1@example.com", "roles": ["user", "editor"]})
    (first,) = await send(granted, by=cast.admin)
    await send({**granted, "verified": ["email"]}, by=cast.admin)
    trail = await AuditEvent.raw().find({}).sort("_id", 1).to_list()
    kinds = sorted(row["kind"] for row in trail)
    assert kinds == ["grant", "identity_linked", "people_imported", "people_imported"]
    assert {str(row["userId"]) for row in trail if "userId" in row} == {first["id"]}


async def test_more_lines_than_a_request_may_have_are_left_for_the_next(send: Send) -> None:
    results = await send(*(person(number) for number in range(1002)))
    assert [each["status"] for each in results[:1000]] == ["created"] * 1000
    assert [each["errors"][0]["code"] for each in results[1000:]] == ["too_many"] * 2


async def test_an_answer_is_bounded_however_many_lines_there_are(importer: Caller) -> None:
    answer = await importer.post("/v1/users/import", content=b"1\n" * 50_000)
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["line"] for each in results] == list(range(1, 2001))
    assert {each["status"] for each in results} == {"invalid"}
    assert {each["errors"][0]["code"] for each in results[1000:]} == {"too_many"}


def test_the_documents_of_two_people_have_nothing_in_common() -> None:
    one, other = (_made(Preferences, now()) for _ in range(2))
    one["notifications"]["email"] = False
    one["dashboard"]["favoriteApps"].append("notes")
    assert other["notifications"]["email"] is True
    assert other["dashboard"]["favoriteApps"] == []
