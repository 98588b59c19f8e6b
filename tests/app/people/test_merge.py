"""Merging two people: what becomes whose, what is asked before, and who is told of it after."""

from typing import Any

import pytest
from bson import ObjectId

from app.relations.sweep import sweep
from app.settings import Settings
from app.work import HOOKS
from models import AuthIdentity, Deletion, Project, RefreshToken
from models.audit_event import AuditEvent
from models.job import Job
from models.user import User
from tests.app.people.conftest import Send
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.deletions import add_activities, ledger_of, orphans_of
from tests.factories.queries import IN_ORDER, asked, build, declare, fill
from tests.harness import Api, Caller

NOTES = "/v1/users/me/apps/notes/data"


async def merge(by: Caller, source: str, into: str, **body: Any) -> Any:
    return await by.post(f"/v1/users/{source}/merge", json={"into": into, **body})


async def merged(by: Caller, source: str, into: str, **body: Any) -> Any:
    answer = await merge(by, source, into, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def live_a_little(owner: Caller) -> None:
    await owner.put(f"{NOTES}/mine", json={"a": 1})
    await owner.put(f"{NOTES}/gone", json=1)
    await owner.delete(f"{NOTES}/gone")
    await owner.post("/v1/users/me/activity", json={"appId": "notes", "eventType": "opened"})
    await owner.post("/v1/users/me/logins", json={"appId": "notes"})


async def values_of(caller: Caller) -> dict[str, Any]:
    listed = (await caller.get(NOTES)).json()["items"]
    return {each["dataKey"]: each["value"] for each in listed}


@pytest.fixture
async def merger(api: Api) -> Caller:
    """A key that may merge, and nothing else."""
    return await api.key("users:merge")


async def test_the_plan_tells_all_and_changes_nothing(cast: Cast, merger: Caller) -> None:
    await live_a_little(cast.owner)
    await cast.owner.put(f"{NOTES}/both", json=1)
    await cast.stranger.put(f"{NOTES}/both", json=2)
    path = f"/v1/users/{cast.owner.id}/merge-plan?into={cast.stranger.id}"
    first, again = await merger.get(path), await merger.get(path)
    assert (
        first.json()
        == again.json()
        == {
            "id": cast.owner.id,
            "into": cast.stranger.id,
            "moved": {"activities": 2, "analytics": 1, "appdata": 3},
            "deleted": {"users": 1, "profiles": 1, "preferences": 1},
            "conflicts": [
                {
                    "kind": "user",
                    "field": "name",
                    "appId": None,
                    "dataKey": None,
                    "projectId": None,
                },
                {"kind": "email", "field": None, "appId": None, "dataKey": None, "projectId": None},
                {
                    "kind": "profile",
                    "field": "displayName",
                    "appId": None,
                    "dataKey": None,
                    "projectId": None,
                },
                {
                    "kind": "appData",
                    "field": None,
                    "appId": "notes",
                    "dataKey": "both",
                    "projectId": None,
                },
            ],
            "blockers": [],
        }
    )


async def test_a_conflict_names_all_and_changes_nothing(cast: Cast, merger: Caller) -> None:
    await live_a_little(cast.owner)
    await cast.stranger.put(f"{NOTES}/mine", json={"a": 2})
    keep = {"user": "target", "email": "target"}
    answer = await merge(merger, cast.owner.id, cast.stranger.id, keep=keep)
    assert (answer.status_code, answer.json()["code"]) == (409, "merge_conflict")
    assert answer.json()["conflicts"] == [
        {"kind": "profile", "field": "displayName"},
        {"kind": "appData", "appId": "notes", "dataKey": "mine"},
    ]
    assert (await cast.owner.get(f"{NOTES}/mine")).json() == {"a": 1}
    assert await Deletion.raw().count_documents({}) == 0


async def test_everything_becomes_the_others(cast: Cast, merger: Caller) -> None:
    await live_a_little(cast.owner)
    receipt = await merged(merger, cast.owner.id, cast.stranger.id, keep="target")
    assert (receipt["id"], receipt["into"], receipt["nulled"]) == (
        cast.owner.id,
        cast.stranger.id,
        {},
    )
    assert receipt["moved"] == {"activities": 2, "analytics": 1, "appdata": 2}
    assert receipt["deleted"] == {"users": 1, "profiles": 1, "preferences": 1}
    assert await orphans_of(ObjectId(cast.owner.id)) == {}
    assert await values_of(cast.stranger) == {"mine": {"a": 1}}
    assert len((await cast.stranger.get("/v1/users/me/activity")).json()["items"]) == 2
    known = (await cast.stranger.get("/v1/users/me")).json()
    assert (known["email"], known["name"]) == ("stranger@example.com", "Stranger")
    event = await AuditEvent.raw().find_one({"kind": "people_merged"}) or {}
    assert (str(event["userId"]), event["detail"]["from"]) == (cast.stranger.id, cast.owner.id)


async def test_keep_source_takes_what_the_source_says(cast: Cast, merger: Caller) -> None:
    await cast.owner.put(f"{NOTES}/both", json="mine")
    await cast.stranger.put(f"{NOTES}/both", json="theirs")
    keep = {"user": "target", "email": "source", "profile": "source", "appData": "source"}
    await merged(merger, cast.owner.id, cast.stranger.id, keep=keep)
    known = (await cast.stranger.get("/v1/users/me/complete")).json()
    assert (known["user"]["email"], known["user"]["name"]) == ("owner@example.com", "Stranger")
    assert known["profile"]["displayName"] == "Owner"
    assert await values_of(cast.stranger) == {"both": "mine"}


async def test_what_one_of_them_never_said_is_filled_in(api: Api, merger: Caller) -> None:
    admin = await api.key("admin")
    people = []
    for content in ({"name": "Ann", "valuUserId": "v-1"}, {"email": "ann@example.com"}):
        people.append((await admin.post("/v1/users", json=content)).json()["id"])
    await api.token(people[0]).put("/v1/users/me/preferences", json={"theme": "dark"})
    await api.token(people[1]).put("/v1/users/me/preferences", json={"language": "fr"})
    await merged(merger, people[0], people[1])
    found = (await api.token(people[1]).get("/v1/users/me/complete")).json()
    user = found["user"]
    assert (user["name"], user["valuUserId"], user["email"]) == ("Ann", "v-1", "ann@example.com")
    assert (found["preferences"]["theme"], found["preferences"]["language"]) == ("dark", "fr")


async def test_a_device_that_syncs_learns_of_every_value(cast: Cast, merger: Caller) -> None:
    for value in range(4):
        await cast.owner.put(f"{NOTES}/both", json=value)
    await cast.owner.put(f"{NOTES}/mine", json=1)
    await cast.stranger.put(f"{NOTES}/both", json="theirs")
    changes = "/v1/users/me/apps/notes/changes"
    cursor = (await cast.stranger.get(changes)).json()["cursor"]
    await merged(merger, cast.owner.id, cast.stranger.id, keep="target")
    told = (await cast.stranger.get(changes, params={"since": cursor})).json()["changes"]
    assert {each["dataKey"]: (each["value"], each["version"]) for each in told} == {
        "both": ("theirs", 5),  # beyond what the other's device has
        "mine": (1, 2),
    }


async def test_a_value_comes_after_the_versions_that_were_purged(
    cast: Cast, merger: Caller
) -> None:
    await cast.owner.put(f"{NOTES}/k", json=1)
    await User.raw().update_one({"_id": ObjectId(cast.stranger.id)}, {"$set": {"versionFloor": 9}})
    await User.raw().update_one({"_id": ObjectId(cast.owner.id)}, {"$set": {"versionFloor": 12}})
    await merged(merger, cast.owner.id, cast.stranger.id, keep="target")
    listed = (await cast.stranger.get(NOTES)).json()["items"]
    assert [each["version"] for each in listed] == [13]
    assert (await cast.stranger.put(f"{NOTES}/new", json=1)).json()["version"] == 13


async def test_a_live_value_goes_before_a_deleted_one(cast: Cast, merger: Caller) -> None:
    await cast.owner.put(f"{NOTES}/k", json="lives")
    await cast.stranger.put(f"{NOTES}/k", json=1)
    await cast.stranger.delete(f"{NOTES}/k")
    await cast.stranger.put(f"{NOTES}/l", json="lives")
    await cast.owner.put(f"{NOTES}/l", json=1)
    await cast.owner.delete(f"{NOTES}/l")
    keep = {"user": "target", "email": "target", "profile": "target"}
    await merged(merger, cast.owner.id, cast.stranger.id, keep=keep)
    assert await values_of(cast.stranger) == {"k": "lives", "l": "lives"}


async def test_the_same_value_is_no_conflict(cast: Cast, merger: Caller) -> None:
    for caller in (cast.owner, cast.stranger):
        await caller.put(f"{NOTES}/k", json={"same": [1, "é"]})
    keep = {"user": "target", "email": "target", "profile": "target"}
    await merged(merger, cast.owner.id, cast.stranger.id, keep=keep)
    assert await values_of(cast.stranger) == {"k": {"same": [1, "é"]}}


async def test_what_was_overwritten_is_in_the_history(cast: Cast, merger: Caller) -> None:
    await cast.admin.put("/v1/apps/notes", json={"history": 5})
    await cast.owner.put(f"{NOTES}/k", json="mine")
    await cast.stranger.put(f"{NOTES}/k", json="theirs")
    await merged(merger, cast.owner.id, cast.stranger.id, keep="source")
    versions = (await cast.stranger.get(f"{NOTES}/k/history")).json()["items"]
    assert [each["version"] for each in versions] == [2, 1]
    old = await cast.stranger.post(f"{NOTES}/k/restore", json={"version": 1})
    assert old.is_success
    assert (await cast.stranger.get(f"{NOTES}/k")).json() == "theirs"


async def test_ways_of_signing_in_lead_to_the_one_who_stays(
    cast: Cast, merger: Caller, send: Send
) -> None:
    await send({"user": {"phone": "+14155550142", "name": "Ann"}, "verified": ["phone"]})
    found = await cast.admin.get("/v1/users", params={"phone": "+14155550142"})
    ann = found.json()["items"][0]["id"]
    await merged(merger, ann, cast.owner.id, keep="target")
    identity = await AuthIdentity.raw().find_one({"providerId": "+14155550142"}) or {}
    assert str(identity["userId"]) == cast.owner.id
    assert (await cast.owner.get("/v1/users/me")).json()["authMethods"] == ["phone"]
    again = await cast.admin.get("/v1/users", params={"phone": "+14155550142"})
    assert [each["id"] for each in again.json()["items"]] == [cast.owner.id]


async def test_sessions_of_the_one_who_is_gone_end(cast: Cast, merger: Caller) -> None:
    row = {"userId": ObjectId(cast.owner.id), "hash": "x"}
    await RefreshToken.raw().insert_one(row)
    receipt = await merged(merger, cast.owner.id, cast.stranger.id, keep="target")
    assert receipt["deleted"]["refreshtokens"] == 1
    assert await RefreshToken.raw().count_documents({}) == 0
    assert (await cast.owner.get("/v1/users/me")).status_code == 404
    assert (await cast.owner.put(f"{NOTES}/late", json=1)).status_code == 404


async def test_who_may_know_is_told_into_whom(cast: Cast, merger: Caller, api: Api) -> None:
    third = (await cast.admin.post("/v1/users", json={})).json()["id"]
    await merged(merger, cast.owner.id, cast.stranger.id, keep="target")
    await merged(merger, cast.stranger.id, third)
    for caller in (cast.admin, cast.reader):
        answer = await caller.get(f"/v1/users/{cast.owner.id}")
        assert (answer.status_code, answer.json()["code"]) == (410, "merged")
        assert answer.json()["into"] == third
    assert (await cast.owner.get("/v1/users/me")).json()["code"] == "not_found"
    again = await merge(merger, cast.owner.id, third)
    assert (again.status_code, again.json()["into"]) == (410, third)
    assert (await api.token(third).get(f"/v1/users/{cast.owner.id}")).status_code == 404


async def test_places_in_projects_become_one(cast: Cast, merger: Caller) -> None:
    made = await cast.owner.post("/v1/projects", json={"name": "Boats"})
    path = f"/v1/projects/{made.json()['id']}"
    member = await cast.admin.put(f"{path}/members/{cast.stranger.id}", json={"role": "member"})
    assert member.is_success, member.text
    plan = await merger.get(f"/v1/users/{cast.owner.id}/merge-plan?into={cast.stranger.id}")
    assert "projects" in {each["kind"] for each in plan.json()["conflicts"]}
    await merged(merger, cast.owner.id, cast.stranger.id, keep="target")
    row = await Project.raw().find_one({}) or {}
    assert row["members"] == [{"userId": ObjectId(cast.stranger.id), "role": "admin"}]


@pytest.mark.parametrize("which", ["owner", "reader", "app_key", "nobody", "owner_in_app"])
async def test_nobody_else_merges(cast: Cast, which: str) -> None:
    caller: Caller = getattr(cast, which)
    answer = await merge(caller, cast.owner.id, cast.stranger.id, keep="target")
    assert answer.status_code == (401 if which == "nobody" else 403)
    plan = await caller.get(f"/v1/users/{cast.owner.id}/merge-plan?into={cast.stranger.id}")
    assert plan.status_code == answer.status_code
    assert await User.raw().count_documents({}) == 2


async def test_a_key_that_is_bound_to_an_app_never_merges(cast: Cast) -> None:
    body = {"name": "k", "scopes": ["users:merge"], "appId": "notes"}
    answer = await cast.admin.post("/v1/api-keys", json=body)
    assert answer.status_code == 422


@pytest.mark.parametrize("source", [True, False])
async def test_admins_are_merged_by_admins_alone(cast: Cast, merger: Caller, source: bool) -> None:
    boss = cast.owner.id if source else cast.stranger.id
    await cast.admin.merge(f"/v1/users/{boss}", {"roles": ["admin"]})
    refused = await merge(merger, cast.owner.id, cast.stranger.id, keep="target")
    assert refused.status_code == 403
    await merged(cast.admin, cast.owner.id, cast.stranger.id, keep="target")


async def test_what_cannot_be_is_refused(cast: Cast, merger: Caller) -> None:
    nobody = str(ObjectId())
    itself = await merge(merger, cast.owner.id, cast.owner.id)
    assert (itself.status_code, itself.json()["errors"][0]["pointer"]) == (422, "/into")
    assert (await merge(merger, cast.owner.id, nobody)).status_code == 400
    assert (await merge(merger, nobody, cast.owner.id)).status_code == 404
    bad = await merge(merger, cast.owner.id, cast.stranger.id, keep={"boats": "target"})
    assert bad.status_code == 422
    assert await User.raw().count_documents({}) == 2


async def test_a_large_merge_is_ended_by_a_job(make_api: MakeApi) -> None:
    api = await make_api(deletion_inline_seconds=0)
    admin = await api.key("admin")
    people = [(await admin.post("/v1/users", json={})).json()["id"] for _ in range(2)]
    await add_activities(ObjectId(people[0]), 250)
    started = await merge(admin, *people)
    assert (started.status_code, started.json()) == (202, {"jobId": people[0]})
    assert started.headers["location"] == f"/v1/users/{people[0]}/deletion"
    assert (await Job.raw().find_one({"_id": ObjectId(people[0])}) or {})["kind"] == (
        "sweep-deletion"
    )
    while not (ledger := await ledger_of(ObjectId(people[0]))).swept:
        await sweep(ledger, HOOKS, deadline=0)
    assert await orphans_of(ObjectId(people[0])) == {}
    receipt = (await admin.get(started.headers["location"])).json()
    assert receipt["moved"] == {"activities": 250}


async def test_moved_values_are_found_by_declared_queries(
    cast: Cast, merger: Caller, base_settings: Settings
) -> None:
    """What a row keeps for queries begins with its person: under a key that the target never had,
    under one that they deleted, and under one that both have."""
    await declare(cast)
    await build(base_settings)
    await fill(cast.owner)
    await fill(cast.stranger, {"task:a": {"due": "2026-01-09"}, "task:d": {"due": "2026-01-09"}})
    assert (await cast.stranger.delete(f"{NOTES}/task:d")).status_code == 204
    await merged(merger, cast.owner.id, cast.stranger.id, keep="source")
    assert await asked(cast.stranger) == IN_ORDER
    by_prio = await asked(cast.stranger, "byPrio", limit=100)
    await fill(cast.stranger)  # each is written anew
    assert await asked(cast.stranger, "byPrio", limit=100) == by_prio
