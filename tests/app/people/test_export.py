"""A person's data goes out whole, with nothing of anybody else and no secret, and comes in again
elsewhere as the same person."""

import csv
import io
import json
import secrets
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import pytest
from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.people.out import exporting
from app.people.out.exported import LEFT_OUT, parts_of, unreached
from app.people.out.zipped import zip_of
from app.people.restoring import EVENTS, NOT_TAKEN, TAKEN
from app.people.tables import columns_of, line_of
from models import AuditEvent, User
from models.base import Stored, now, rfc3339, stored_name
from models.relations import children_of
from tests import reuse
from tests.app.auth.conftest import World, _outside, outside, world
from tests.app.people.conftest import Send
from tests.cast import Cast
from tests.factories.exports import lines_of
from tests.harness import Api, Caller

__all__ = ["_outside", "outside", "world"]


def is_text(field: Any) -> bool:
    return field.annotation is str or str in get_args(field.annotation)


def is_secret(document: type[Stored], name: str, field: Any) -> bool:
    return field.repr is False or name in getattr(document, "SEALED", ())


def planted(document: type[Stored], who: str) -> tuple[dict[str, Any], set[str]]:
    """A row with a text of its own in each field that may hold one, and those that are no
    secret."""
    row: dict[str, Any] = {}
    open_texts = set()
    for name, field in document.model_fields.items():
        if name in ("id", "imported_as") or not (is_text(field) or name in secrets_of(document)):
            continue
        secret = is_secret(document, name, field)
        text = f"{who}{'secret' if secret else ''}.{document.collection_name()}.{name}"
        row[stored_name(name)] = text
        open_texts |= set() if secret else {text}
    return row, open_texts


def secrets_of(document: type[Stored]) -> set[str]:
    fields = document.model_fields.items()
    return {name for name, field in fields if is_secret(document, name, field)}


async def plant(database: AsyncDatabase[Any], user_id: ObjectId, who: str) -> set[str]:
    """A row of everybody's in each collection that hangs off a person; the texts of it that are
    theirs."""
    texts: set[str] = set()
    for number, relation in enumerate(children_of(User)):
        row, own = planted(relation.child, who)
        if relation.child.collection_name() in ("profiles", "preferences"):
            await database[relation.child.collection_name()].update_one(
                {"userId": user_id}, {"$set": row}
            )
        else:
            row |= {"_id": f"{who}{number}" if is_named(relation.child) else ObjectId()}
            items, _, inner = relation.stored.partition(".")
            named = [{inner: user_id}, {inner: ObjectId("e" * 24)}] if inner else user_id
            ids = {each: ObjectId() for each in references(relation.child)}
            await database[relation.child.collection_name()].insert_one(
                {**ids, **row, items: named}
            )
        texts |= set() if relation.child in LEFT_OUT else own
    return texts


def references(document: type[Stored]) -> list[str]:
    """The stored fields that hold ids of documents."""
    fields = document.model_fields.items()
    kinds = {name: {field.annotation, *get_args(field.annotation)} for name, field in fields}
    return [stored_name(name) for name in kinds if PydanticObjectId in kinds[name] and name != "id"]


def is_named(document: type[Stored]) -> bool:
    return document.model_fields["id"].annotation is str


async def test_everything_of_theirs_goes_out_nothing_else_and_no_secret(
    cast: Cast, database: AsyncDatabase[Any]
) -> None:
    own = await plant(database, ObjectId(cast.owner.id), "owners")
    await plant(database, ObjectId(cast.stranger.id), "strangers")
    answer = await cast.owner.get("/v1/users/me/export")
    missing = {text for text in own if text not in answer.text}
    assert missing == set()
    assert "strangers" not in answer.text and cast.stranger.id not in answer.text
    assert "secret" not in answer.text and "e" * 24 not in answer.text
    found = lines_of(answer)
    assert found[0][0] == "users" and found[0][1]["email"] == "owner@example.com"
    kinds = {relation.child.collection_name() for relation in children_of(User)}
    left = {document.collection_name() for document in LEFT_OUT}
    assert {kind for kind, _ in found} == kinds - left | {"users", "end"}
    counts = found[-1][1]["documents"]
    assert found[-1][0] == "end" and sum(counts.values()) == len(found) - 1


def test_a_collection_that_names_its_person_by_nothing_of_its_own_is_asked_for() -> None:
    """All else that hangs off a person is exported without a line."""
    assert unreached() == set(), "give it a userId with a relation, or it is missing in exports"
    assert {part.document for part in parts_of()} | LEFT_OUT.keys() == {
        relation.child for relation in children_of(User)
    }
    assert all(LEFT_OUT.values()) and all(NOT_TAKEN.values())


SUSPICIOUS = ("hash", "secret", "token", "password", "code")


def test_what_is_named_like_a_secret_is_marked_as_one() -> None:
    told = {
        (part.kind, name)
        for part in parts_of()
        for name, field in part.document.model_fields.items()
        if any(word in name for word in SUSPICIOUS) and not is_secret(part.document, name, field)
    }
    assert told == {("quarantine", "code")}  # of what was wrong with an event


async def test_an_export_is_noted_and_may_be_an_archive(cast: Cast) -> None:
    path = f"/v1/users/{cast.owner.id}"
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={"$ref": "as sent"})
    answer = await cast.reader.get(f"{path}/export", headers={"Accept": "application/zip"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        (value,) = json.loads(archive.read("appdata.json"))
        (user,) = json.loads(archive.read("users.json"))
        counts = json.loads(archive.read("contents.json"))["documents"]
        assert "README.txt" in archive.namelist()
    assert (value["value"], user["id"]) == ({"$ref": "as sent"}, cast.owner.id)
    assert counts["appdata"] == 1
    row = await AuditEvent.raw().find_one({"kind": "person_exported"})
    assert row is not None and (str(row["userId"]), row["by"][:4]) == (cast.owner.id, "key:")


async def test_an_archive_whose_lines_break_off_says_why() -> None:
    async def lines() -> AsyncIterator[exporting.Line]:
        for _ in range(3):
            yield "users", {"id": secrets.token_hex(100_000)}
        raise TimeoutError("the snapshot is too old")

    with pytest.raises(TimeoutError):
        _ = [part async for part in zip_of(lines())]
    left = zip_of(lines())
    sent = [await anext(left), await anext(left)]
    await left.aclose()  # type: ignore[attr-defined]  # who downloads it has gone away
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(sent)))


async def test_exports_that_are_under_way_are_counted_and_give_their_place_back(
    cast: Cast, api: Api
) -> None:
    for _ in range(20):
        assert (await cast.owner.get("/v1/users/me/export")).status_code == 200
    assert (await cast.reader.get(f"/v1/users/{'f' * 24}/export")).status_code == 404
    exports = api.app.state.exports
    others = [secrets.token_hex(12) for _ in range(8)]
    for whose, told in (
        ([cast.owner.id] * 2, (429, "too_many_requests")),
        (others, (503, "unavailable")),
    ):
        places = [exports.begin(ObjectId(each)) for each in whose]
        busy = await cast.owner.get("/v1/users/me/export")
        assert (busy.status_code, busy.json()["code"]) == told
        assert busy.headers["retry-after"] == "10"
        places.clear()
    assert (await cast.owner.get("/v1/users/me/export")).status_code == 200
    assert (exports.free, exports.of) == (8, {})


async def test_an_export_shows_one_moment(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written while it is sent is not in it."""
    for key in ("a", "b"):
        await cast.owner.put(f"/v1/users/me/apps/notes/data/{key}", json="before")
    export = exporting.Export(None, ObjectId(cast.owner.id))  # type: ignore[arg-type]
    await export.open("test")
    seen = []
    async for kind, document in export.lines():
        if kind == "profiles":
            await cast.owner.put("/v1/users/me/apps/notes/data/b", json="after")
            await cast.owner.put("/v1/users/me/apps/notes/data/c", json="after")
        if kind == "appdata":
            seen.append((document["dataKey"], document["value"]))
    assert seen == [("a", "before"), ("b", "before")]


async def test_raw_events_are_listed_page_by_page_through_those_of_one_moment(cast: Cast) -> None:
    moment = rfc3339(now())
    events = [
        {
            "appId": "notes" if number % 2 else "boats",
            "eventName": f"e{number}",
            "eventCategory": "custom",
            "timestamp": moment,
            "userId": cast.owner.id,
        }
        for number in range(7)
    ]
    await cast.admin.post("/v1/analytics/events", json=events)
    later = {**events[0], "eventName": "later", "timestamp": rfc3339(now())}
    await cast.admin.post("/v1/analytics/events", json=[later, {**later, "userId": "someone"}])
    path, seen, cursor = f"/v1/users/{cast.owner.id}/events", [], None
    for _ in range(5):
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await cast.owner.get(path, params=query)).json()
        seen += [each["eventName"] for each in page["items"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert sorted(seen) == ["e0", "e1", "e2", "e3", "e4", "e5", "e6", "later"]
    assert seen[0] == "later" or rfc3339(now()) == moment
    own = (await cast.owner_in_app.get(path)).json()["items"]
    assert {each["appId"] for each in own} == {"notes"} and len(own) == 3
    named = (await cast.owner.get(path, params={"eventName": "e4"})).json()["items"]
    assert [each["eventName"] for each in named] == ["e4"]


PEOPLE = 200
HEADINGS = ("email", "name", "valuUserId", "profile.bio", "externalId:crm", "appData:notes:all")


def table(path: Path) -> list[dict[str, Any]]:
    """The lines of a CSV of people."""
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(HEADINGS)
        for number in range(PEOPLE):
            notes = json.dumps({"n": number, "deep": [None, {"$ref": 1.5}]})
            cells = (f"p{number}@example.com", f"Person {number}", f"v{number}", "Sails.")
            rows.writerow((*cells, f"c{number}", notes))
    with path.open(newline="") as stream:
        found = csv.DictReader(stream)
        columns = columns_of(found.fieldnames or [], {})
        return [line_of(row, columns, ("email",)) for row in found]


OURS = {"version", "updatedAt", "changedBy", "receivedAt"}


def same(exported: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """What an export says of a person, without what is of where they are."""
    kept = []
    for kind, document in exported:
        if kind in {*TAKEN, *EVENTS}:
            own = set(OURS) - ({"version", "updatedAt"} if kind == "appdata" else set())
            own |= {"id"} if kind not in {"users", *EVENTS} else set()
            own |= {"createdAt"} if kind not in {"users", "appdata"} else set()
            left = {name: each for name, each in document.items() if name not in own}
            kept.append(json.dumps([kind, left], sort_keys=True))
    return sorted(kept)


async def test_from_a_table_to_another_satchel_it_is_the_same_person(
    world: World, tmp_path: Path, database: AsyncDatabase[Any], send: Send, importer: Caller
) -> None:
    """Imported, signed in by a code, exported, deleted, brought into another one: equal."""
    results = await send(*table(tmp_path / "people.csv"))
    assert [each["status"] for each in results] == ["created"] * PEOPLE
    signed_in = (await world.by_email("p7@example.com", deviceInfo="phone")).json()
    user_id = results[7]["id"]
    assert (signed_in["userId"], signed_in["created"]) == (user_id, False)
    me = world.api.caller(signed_in["accessToken"])
    assert (await me.get("/v1/users/me/apps/notes/data/all")).json()["n"] == 7
    await me.put("/v1/users/me/apps/notes/data/all", json={"mine": 2})
    await me.put("/v1/users/me/apps/boats/data/gone", json=1)
    await me.delete("/v1/users/me/apps/boats/data/gone")
    event = {"appId": "notes", "eventName": "opened", "eventCategory": "engagement"}
    assert (await me.post("/v1/analytics/events", json=event)).status_code == 200
    did = {"appId": "notes", "eventType": "read", "eventData": {"page": 1}}
    assert (await me.post("/v1/users/me/activity", json=did)).status_code == 201
    export = await me.get("/v1/users/me/export")
    before = lines_of(export)
    assert "refreshtokens" in {kind for kind, _ in before}
    assert (await me.delete("/v1/users/me")).status_code == 200

    back = await importer.post("/v1/users/import", content=export.content)
    statuses = [json.loads(line) for line in back.text.splitlines()]
    assert {each["status"] for each in statuses} == {"created", "unchanged"}
    again_here = {each["id"] for each in statuses if "id" in each}
    assert again_here.isdisjoint({user_id}) and len(again_here) == 1  # that id is never used again
    repeat = await importer.post("/v1/users/import", content=export.content)
    assert {json.loads(line)["status"] for line in repeat.text.splitlines()} == {"unchanged"}

    await reuse.clear(database)  # an empty Satchel
    key = await world.api.key("users:import", "users:read")
    answer = await key.post("/v1/users/import", content=export.content)
    statuses = [json.loads(line) for line in answer.text.splitlines()]
    assert {each["status"] for each in statuses} == {"created", "unchanged"}, statuses
    assert {each["line"] for each in statuses if "left" in each} == {
        number for number, (kind, _) in enumerate(before, 1) if kind in NOT_TAKEN
    }
    after = lines_of(await key.get(f"/v1/users/{user_id}/export"))
    assert same(after) == same(before)
    home = (await world.by_email("p7@example.com")).json()
    assert (home["userId"], home["created"]) == (user_id, False)
    value = await world.api.caller(home["accessToken"]).get("/v1/users/me/apps/notes/data/all")
    assert (value.json(), value.headers["etag"][:3]) == ({"mine": 2}, '"2.')


async def test_what_follows_nobody_makes_nobody(importer: Caller) -> None:
    value = {"userId": "a" * 24, "appId": "notes", "dataKey": "k", "value": 1, "version": 1}
    value |= {"createdAt": rfc3339(now()), "updatedAt": rfc3339(now())}
    line = {"kind": "appdata", "document": value}
    answer = await importer.post("/v1/users/import", content=json.dumps(line))
    assert (answer.json()["status"], answer.json()["errors"][0]["code"]) == (
        "conflict",
        "unknown_user",
    )
    for wrong in (
        {"kind": "apikeys", "document": {}},
        {"kind": "users", "document": {"id": "x"}},
        {"kind": "appdata", "document": {**value, "version": "one"}},
        {"kind": "users", "document": {"id": "a" * 24, "roles": ["editor"]}},
    ):
        answer = await importer.post("/v1/users/import", content=json.dumps(wrong))
        assert answer.json()["status"] == "invalid", wrong
    assert await User.raw().count_documents({}) == 0
