"""A batch: what becomes of each write, by what is stored."""

import pytest

from models.app_data import AppData
from models.base import now
from tests.cast import Cast
from tests.factories.batches import APP, DATA, batch, delete, put, said, step
from tests.harness import Api


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("history", [0, 5])
async def test_every_kind_of_write_is_stored(cast: Cast, atomic: bool, history: int) -> None:
    await cast.admin.put("/v1/apps/notes", json={"history": history})
    for key in ("old", "merged", "patched", "gone", "back"):
        await cast.owner.put(f"{DATA}/{key}", json={"n": 1})
    await cast.owner.delete(f"{DATA}/back")
    results = await batch(
        cast.owner,
        put("new", {"$ref": "x", "$literal": 1}),
        put("old", "$other"),
        {"dataKey": "merged", "mergePatch": {"n": None, "m": 2}},
        step("patched"),
        delete("gone"),
        put("back", [1]),
        delete("never"),
        atomic=atomic,
    )
    assert list(map(said, results)) == [
        *(
            ("stored", 1),
            ("stored", 2),
            ("stored", 2),
            ("stored", 2),
            ("stored", 2),
            ("stored", 3),
            ("stored", 0),
        )
    ]
    found = {row["dataKey"]: row for row in (await cast.owner.get(DATA)).json()["items"]}
    assert {key: (row["value"], row["version"]) for key, row in found.items()} == {
        "new": ({"$ref": "x", "$literal": 1}, 1),
        "old": ("$other", 2),
        "merged": ({"m": 2}, 2),
        "patched": ({"n": 2}, 2),
        "back": ([1], 3),
    }
    for result in results:
        if result["dataKey"] in found:
            shown = {name: part for name, part in result.items() if name not in ("status", "value")}
            expected = found[result["dataKey"]]
            assert shown == {
                name: expected[name] for name in ("dataKey", "version", "createdAt", "updatedAt")
            }
    assert ("value" in results[0], results[2]["value"], results[3]["value"]) == (
        False,
        {"m": 2},
        {"n": 2},
    )
    assert await AppData.raw().find_one({"dataKey": "never"}) is None
    rows = {row["dataKey"]: row async for row in AppData.raw().find()}
    assert all(row["changedBy"] == f"user:{cast.owner.id}" for row in rows.values())
    assert rows["gone"]["deleted"] is True
    kept = [former["version"] for former in rows["back"].get("history", [])]
    assert kept == ([1, 2] if history else [])
    assert "history" not in rows["new"]


async def test_if_version_names_what_must_be_stored_a_tombstones_too(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/live", json=1)
    await cast.owner.put(f"{DATA}/dead", json=1)
    await cast.owner.delete(f"{DATA}/dead")
    late = await batch(
        cast.owner,
        put("live", 2, ifVersion=2),
        put("dead", 2, ifVersion=1),
        put("no", 2, ifVersion=1),
    )
    assert [result["status"] for result in late] == ["conflict"] * 3
    assert (late[0]["current"]["value"], late[0]["current"]["version"]) == (1, 1)
    assert (late[1]["current"], late[2]["current"]) == (None, None)
    assert set(late[0]) == {"dataKey", "status", "current"}
    assert set(late[0]["current"]) == {"dataKey", "value", "version", "createdAt", "updatedAt"}
    zero = await batch(
        cast.owner,
        put("live", 2, ifVersion=0),
        put("dead", 2, ifVersion=0),
        put("no", 2, ifVersion=0),
    )
    assert list(map(said, zero)) == [("conflict", None), ("stored", 3), ("stored", 1)]
    await cast.owner.delete(f"{DATA}/dead")
    good = await batch(
        cast.owner,
        put("live", 2, ifVersion=1),
        put("dead", 2, ifVersion=4),
        delete("no", ifVersion=1),
    )
    assert list(map(said, good)) == [("stored", 2), ("stored", 5), ("stored", 2)]


async def test_deleting_what_is_deleted_is_stored_whatever_version_the_client_knows(
    cast: Cast,
) -> None:
    await cast.owner.put(f"{DATA}/k", json=1)
    assert said((await batch(cast.owner, delete("k", ifVersion=7)))[0]) == ("conflict", None)
    assert said((await batch(cast.owner, delete("k")))[0]) == ("stored", 2)
    for known in ({}, {"ifVersion": 1}, {"ifVersion": 0}):
        [result] = await batch(cast.owner, delete("k", **known))
        assert result == {"dataKey": "k", "status": "stored", "version": 2, "deleted": True}


async def test_a_patch_of_what_is_not_there_is_a_conflict_with_nothing(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/dead", json={})
    await cast.owner.delete(f"{DATA}/dead")
    results = await batch(
        cast.owner, {"dataKey": "no", "mergePatch": {}}, step("dead"), step("dead2", ifVersion=0)
    )
    assert [(result["status"], result["current"]) for result in results] == [("conflict", None)] * 3


async def test_what_can_never_be_stored_says_so_and_the_others_are_stored(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/text", json="t")
    large = "x" * (512 * 1024)
    results = await batch(
        cast.owner,
        put("fine"),
        put("large", large),
        step("text"),
        {"dataKey": "text2", "jsonPatch": "no patch"},
        put("a/b"),
        {"dataKey": "nothing"},
        put("both", delete=True),
        put("ttl", ttl=0),
        put("id", mutationId="no spaces"),
        put("version", ifVersion="1"),
        put("odd", odd=1),
        {"dataKey": "not", "delete": False},
    )
    assert said(results[0]) == ("stored", 1)
    refused = [
        (result["errors"][0]["pointer"], result["errors"][0]["code"])
        for result in results[1:3] + results[4:]
    ]
    assert refused == [
        ("/writes/1/value", "too_long"),
        ("/writes/2/jsonPatch/0", "not_applicable"),
        ("/writes/4/dataKey", "malformed"),
        ("/writes/5", "missing"),
        ("/writes/6", "conflicting"),
        ("/writes/7/ttl", "out_of_range"),
        ("/writes/8/mutationId", "malformed"),
        ("/writes/9/ifVersion", "wrong_type"),
        ("/writes/10/odd", "unknown"),
        ("/writes/11/delete", "not_allowed"),
    ]
    assert {result["status"] for result in results[1:3] + results[4:]} == {"invalid"}
    assert results[2]["current"]["value"] == "t"
    assert results[3]["status"] == "conflict"
    assert [row["dataKey"] for row in (await cast.owner.get(DATA)).json()["items"]] == [
        "fine",
        "text",
    ]


async def test_a_failed_test_is_a_conflict_that_tells(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/k", json={"a": 1})
    patch = [{"op": "test", "path": "/a", "value": 2}, {"op": "remove", "path": "/a"}]
    [result] = await batch(cast.owner, {"dataKey": "k", "jsonPatch": patch})
    assert (result["status"], result["current"]["value"]) == ("conflict", {"a": 1})
    assert [(error["pointer"], error["code"]) for error in result["errors"]] == [
        ("/writes/0/jsonPatch/0", "test_failed")
    ]


async def test_a_patch_that_changes_nothing_moves_no_version(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/k", json={"a": 1})
    [result] = await batch(cast.owner, {"dataKey": "k", "mergePatch": {"a": 1}})
    assert (said(result), result["value"]) == (("stored", 1), {"a": 1})


async def test_ttl_sets_the_expiry_a_put_without_clears_it_and_a_patch_keeps_it(cast: Cast) -> None:
    [first] = await batch(cast.owner, put("k", {}, ttl=60))
    [kept] = await batch(cast.owner, step("k"))
    [moved] = await batch(cast.owner, step("k", ttl=600))
    [cleared] = await batch(cast.owner, put("k"))
    assert kept["expiresAt"] == first["expiresAt"] < moved["expiresAt"]
    assert "expiresAt" not in cleared
    assert "expiresAt" not in (await cast.owner.get(DATA)).json()["items"][0]


async def test_what_has_expired_is_not_there(cast: Cast) -> None:
    for key in ("put", "patch", "delete", "again"):
        await cast.owner.put(f"{DATA}/{key}?ttl=60", json={})
    await AppData.raw().update_many({}, {"$set": {"expiresAt": now()}})
    results = await batch(
        cast.owner, put("put", 1, ifVersion=0), step("patch"), delete("delete"), put("again")
    )
    assert list(map(said, results)) == [
        ("stored", 2),
        ("conflict", None),
        ("stored", 2),
        ("stored", 2),
    ]
    assert results[0]["createdAt"] == results[0]["updatedAt"]
    assert (await cast.owner.get(f"{DATA}/again")).json() == 1


async def test_an_atomic_batch_with_a_conflict_is_412_and_stores_nothing(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/k", json=1)
    body = {"atomic": True, "writes": [put("a"), put("k", 2, ifVersion=5), delete("k2")]}
    answer = await cast.owner.post(f"{APP}/batch", json=body)
    assert (answer.status_code, answer.json()["code"]) == (412, "not_all_stored")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["results"] == [
        {"dataKey": "a", "status": "notApplied"},
        {
            "dataKey": "k",
            "status": "conflict",
            "current": (await cast.owner.get(DATA)).json()["items"][0],
        },
        {"dataKey": "k2", "status": "notApplied"},
    ]
    assert await AppData.raw().count_documents({}) == 1


async def test_an_atomic_batch_with_what_can_never_be_stored_is_422_and_stores_nothing(
    cast: Cast,
) -> None:
    await cast.owner.put(f"{DATA}/k", json=1)
    body = {
        "atomic": True,
        "writes": [put("a"), put("k", 2, ifVersion=5), step("k3"), put("b", ttl=-1)],
    }
    answer = await cast.owner.post(f"{APP}/batch", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/writes/3/ttl"]
    statuses = [result["status"] for result in answer.json()["results"]]
    assert statuses == ["notApplied", "conflict", "conflict", "invalid"]
    assert await AppData.raw().count_documents({}) == 1


async def test_an_app_that_requires_versions_requires_them_of_each_write(cast: Cast) -> None:
    await cast.admin.put("/v1/apps/notes", json={"requireVersion": True})
    results = await batch(cast.owner, put("a"), put("b", ifVersion=0), delete("c"))
    assert [result["status"] for result in results] == ["invalid", "stored", "invalid"]
    assert (results[0]["errors"][0]["pointer"], results[0]["errors"][0]["code"]) == (
        "/writes/0/ifVersion",
        "missing",
    )


async def test_what_does_not_fit_the_apps_schema_is_invalid(cast: Cast) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}}
    await cast.admin.put("/v1/apps/notes", json={"schemas": {"k*": schema}})
    results = await batch(
        cast.owner, put("k1", {"n": 5}), put("k2", {"n": 6}), put("other", {"n": 6}), put("k3", [])
    )
    assert [result["status"] for result in results] == ["stored", "invalid", "stored", "invalid"]
    [patched] = await batch(cast.owner, step("k1"))
    assert (patched["status"], patched["current"]["value"]) == ("invalid", {"n": 5})
    places = [result["errors"][0]["pointer"] for result in (results[1], results[3], patched)]
    assert places == ["/writes/1/value/n", "/writes/3/value", "/writes/0/jsonPatch"]


async def test_prefer_says_whether_values_come_back(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/k", json={})
    minimal, whole = ({"Prefer": f"return={wish}"} for wish in ("minimal", "representation"))
    assert "value" not in (await batch(cast.owner, step("k"), headers=minimal))[0]
    assert (await batch(cast.owner, put("k", [1]), headers=whole))[0]["value"] == [1]


async def test_whoever_only_writes_is_shown_no_value(cast: Cast, api: Api) -> None:
    await cast.owner.put(f"{DATA}/k", json={"the": "secret"})
    writer = await api.key("data:write")
    path = f"{APP}/batch".replace("me", cast.owner.id)
    writes = [put("k", 1, ifVersion=9), {"dataKey": "k2", "value": 1}]
    for change in (
        {"mergePatch": {}},
        {"mergePatch": {"a": 1}},
        {"jsonPatch": [{"op": "x"}]},
        {"value": 1, "ttl": -1},
    ):
        sent = {"writes": [{"dataKey": "k", **change}]}
        answer = await writer.post(path, json=sent, headers={"Prefer": "return=representation"})
        assert (answer.status_code, "secret" in answer.text) == (200, False)
    for atomic in (False, True):
        answer = await writer.post(path, json={"atomic": atomic, "writes": writes})
        assert "secret" not in answer.text
        assert answer.json()["results"][0]["current"]["version"] == 2


@pytest.mark.parametrize("atomic", [False, True])
async def test_changes_since_its_cursor_have_what_a_batch_stored_and_what_came_after(
    cast: Cast, atomic: bool
) -> None:
    await cast.owner.put(f"{DATA}/before", json=1)
    body = {"atomic": atomic, "writes": [put("a", 1), put("b", 1)]}
    answer = await cast.owner.post(f"{APP}/batch", json=body)
    await cast.owner.put(f"{DATA}/after", json=1)
    since = {"since": answer.json()["cursor"]}
    found = (await cast.owner.get(f"{APP}/changes", params=since)).json()["changes"]
    assert {"a", "b", "after"} <= {change["dataKey"] for change in found}
    refused = {"writes": [put("a", ttl=0)]}
    cursor = (await cast.owner.post(f"{APP}/batch", json=refused)).json()["cursor"]
    assert (await cast.owner.get(f"{APP}/changes", params={"since": cursor})).status_code == 200


async def test_strangers_reach_nothing(cast: Cast, api: Api) -> None:
    path = f"{APP}/batch".replace("me", cast.owner.id)
    body = {"writes": [put("k")]}
    elsewhere = api.token(cast.owner.id, "boats")
    for caller, status in (
        (cast.stranger, 404),
        (cast.nobody, 401),
        (cast.reader, 403),
        (elsewhere, 404),
    ):
        assert (await caller.post(path, json=body)).status_code in (status, 403), caller
    assert await AppData.raw().count_documents({}) == 0
    assert (await cast.app_key.post(path, json=body)).status_code == 200


async def test_a_user_who_is_gone_is_404(cast: Cast) -> None:
    path = f"{APP}/batch".replace("me", cast.stranger.id)
    assert (await cast.admin.delete(f"/v1/users/{cast.stranger.id}")).status_code == 200
    for atomic in (False, True):
        answer = await cast.admin.post(path, json={"atomic": atomic, "writes": [put("k")]})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert await AppData.raw().count_documents({}) == 0


async def test_values_beyond_8_mib_are_left_out_of_the_answer_and_not_patched(cast: Cast) -> None:
    large = {"n": 0, "x": "x" * (510 * 1024)}
    keys = [f"k{number:02}" for number in range(18)]
    for key in keys:
        await cast.owner.put(f"{DATA}/{key}", json=large)
    results = await batch(
        cast.owner, *(step(key) for key in keys), headers={"Prefer": "return=minimal"}
    )
    assert [result["status"] for result in results] == ["stored"] * 16 + ["notApplied"] * 2
    late = await batch(cast.owner, *(put(key, 1, ifVersion=9) for key in keys))
    assert sum("value" in result["current"] for result in late) == 16
    body = {"atomic": True, "writes": [step(key) for key in keys]}
    answer = await cast.owner.post(f"{APP}/batch", json=body)
    assert (answer.status_code, answer.json()["results"][0]["status"]) == (413, "notApplied")
