"""Profile and preferences: one to each user, replaced, patched, found together with the user."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId

from models.preferences import Preferences
from models.profile import Profile
from tests.cast import Cast
from tests.harness import version_of

PROFILE, PREFERENCES = "/v1/users/me/profile", "/v1/users/me/preferences"
FULL_PROFILE = {
    "displayName": "Ann",
    "bio": "Sails.",
    "avatar": {"url": "https://example.com/a.png", "thumbnailUrl": None},
    "metadata": {"$ref": {"a.b": 1}, "z": 1, "a": 2},
}
FULL_PREFERENCES = {
    "theme": "dark",
    "language": "pt-BR",
    "notifications": {"email": False, "push": True, "inApp": False},
    "widgets": {"enabled": ["w1"], "disabled": ["w2"], "customizations": {"w1": {"$id": 5}}},
    "dashboard": {"layout": "grid", "defaultView": "week", "favoriteApps": ["notes"]},
}
BOTH = [
    (PROFILE, FULL_PROFILE, {"displayName": "B"}),
    (PREFERENCES, FULL_PREFERENCES, {"theme": "light"}),
]


@pytest.mark.parametrize(("path", "content", "_"), BOTH)
async def test_content_is_replaced_as_a_whole(
    cast: Cast, path: str, content: dict[str, Any], _: Any
) -> None:
    put = await cast.owner.put(path, json=content)
    assert (put.status_code, version_of(put)) == (200, 2)
    found = (await cast.owner.get(path)).json()
    assert found == put.json()
    assert found | content == found
    assert list(found.get("metadata", {})) == list(content.get("metadata", {}))
    emptied = (await cast.owner.put(path, json={})).json()
    assert emptied["version"] == 3
    assert emptied.get("metadata", {}) == {}
    assert emptied.get("theme", "auto") == "auto"
    assert emptied.get("displayName") is None


@pytest.mark.parametrize(("path", "content", "patch"), BOTH)
async def test_a_patch_changes_only_what_it_names(
    cast: Cast, path: str, content: Any, patch: dict[str, Any]
) -> None:
    before = (await cast.owner.put(path, json=content)).json()
    after = (await cast.owner.merge(path, patch)).json()
    assert {**before, **patch, "version": 3, "updatedAt": after["updatedAt"]} == after
    name, value = next(iter(patch.items()))
    operations = [
        {"op": "test", "path": f"/{name}", "value": value},
        {"op": "replace", "path": f"/{name}", "value": 7},
    ]
    refused = await cast.owner.patch(path, operations)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{name}")
    assert (await cast.owner.get(path)).json() == after


@pytest.mark.parametrize(("path", "content", "patch"), BOTH)
async def test_stale_writes_return_the_current_document(
    cast: Cast, path: str, content: Any, patch: Any
) -> None:
    current = (await cast.owner.put(path, json=content, headers={"If-Match": '"1"'})).json()
    for write in (cast.owner.put(path, json={}, headers={"If-Match": '"1"'}),):
        stale = await write
        assert (stale.status_code, stale.json()["current"]) == (412, current)
    stale = await cast.owner.merge(path, patch, headers={"If-Match": '"9", W/"2"'})
    assert (stale.status_code, stale.json()["current"], version_of(stale)) == (412, current, 2)
    assert (await cast.owner.put(path, json={}, headers={"If-None-Match": "*"})).status_code == 412
    assert (await cast.owner.merge(path, patch, headers={"If-Match": "*"})).json()["version"] == 3


@pytest.mark.parametrize("path", [PROFILE, PREFERENCES])
async def test_a_reader_who_has_the_version_is_not_sent_it_again(cast: Cast, path: str) -> None:
    tag = (await cast.owner.get(path)).headers["etag"]
    for sent in (tag, f"W/{tag}", f'"9", {tag}', "*"):
        known = await cast.owner.get(path, headers={"If-None-Match": sent})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert (await cast.owner.get(path, headers={"If-None-Match": '"1"'})).status_code == 200


@pytest.mark.parametrize("path", [PROFILE, PREFERENCES])
async def test_expand_embeds_the_user_and_has_no_etag(cast: Cast, path: str) -> None:
    found = await cast.owner.get(path, params={"expand": "user"})
    assert found.json()["user"]["email"] == "owner@example.com"
    assert "etag" not in found.headers
    assert "user" not in (await cast.owner.get(path)).json()


@pytest.mark.parametrize(("path", "document"), [(PROFILE, Profile), (PREFERENCES, Preferences)])
async def test_what_a_script_left_out_is_made_once(cast: Cast, path: str, document: Any) -> None:
    mine = {"userId": ObjectId(cast.owner.id)}
    await document.raw().delete_one(mine)
    answers = await asyncio.gather(*(cast.owner.get(path) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await document.raw().count_documents(mine) == 1


@pytest.mark.parametrize(
    ("path", "content", "pointer"),
    [
        (PROFILE, {"bio": "x" * 501}, "/bio"),
        (PROFILE, {"displayName": "x" * 256}, "/displayName"),
        (PROFILE, {"avatar": {"url": "javascript:alert(1)"}}, "/avatar/url"),
        (PROFILE, {"avatar": {"size": 1}}, "/avatar/size"),
        (PROFILE, {"metadata": []}, "/metadata"),
        (PROFILE, {"userId": "f" * 24}, "/userId"),
        (PREFERENCES, {"theme": "blue"}, "/theme"),
        (PREFERENCES, {"language": "no language"}, "/language"),
        (PREFERENCES, {"language": "x" * 36}, "/language"),
        (PREFERENCES, {"notifications": {"email": "perhaps"}}, "/notifications/email"),
        (PREFERENCES, {"widgets": {"enabled": ["w"] * 257}}, "/widgets/enabled"),
        (PREFERENCES, {"dashboard": {"favoriteApps": [""]}}, "/dashboard/favoriteApps/0"),
    ],
    ids=repr,
)
async def test_other_content_is_refused_by_field(
    cast: Cast, path: str, content: Any, pointer: str
) -> None:
    for refused in (
        await cast.owner.put(path, json=content),
        await cast.owner.merge(path, content),
    ):
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert version_of(await cast.owner.get(path)) == 1


@pytest.mark.parametrize("number", [2**31, 2**40, 2**63 - 1, -(2**63)])
async def test_large_integers_come_back_at_once(cast: Cast, number: int) -> None:
    assert (await cast.owner.put(PROFILE, json={"metadata": {"n": number}})).json()["metadata"] == {
        "n": number
    }
    assert (await cast.owner.get(PROFILE)).json()["metadata"] == {"n": number}
    assert (await cast.owner.merge(PROFILE, {"bio": "x"})).json()["metadata"] == {"n": number}
    widgets = {"widgets": {"customizations": {"n": number}}}
    assert (await cast.owner.put(PREFERENCES, json=widgets)).json()["widgets"][
        "customizations"
    ] == {"n": number}
    body = {"appId": "notes", "eventType": "x", "eventData": {"n": number}}
    assert (await cast.owner.post("/v1/users/me/activity", json=body)).status_code == 201
    assert (await cast.owner.get("/v1/users/me/activity")).json()["items"][0]["eventData"] == {
        "n": number
    }


async def test_a_bio_of_500_characters_is_taken_whatever_they_are(cast: Cast) -> None:
    assert (await cast.owner.put(PROFILE, json={"bio": "\U0001f600" * 500})).status_code == 200


@pytest.mark.parametrize(
    ("sent", "kept"), [("pt-br", "pt-BR"), ("EN", "en"), ("zh-hant-tw", "zh-Hant-TW")]
)
async def test_a_language_is_kept_in_its_canonical_case(cast: Cast, sent: str, kept: str) -> None:
    assert (await cast.owner.put(PREFERENCES, json={"language": sent})).json()["language"] == kept


async def test_a_user_comes_complete(cast: Cast) -> None:
    await cast.owner.put(PROFILE, json=FULL_PROFILE)
    found = await cast.owner.get("/v1/users/me/complete")
    assert found.status_code == 200
    assert found.json() == {
        "user": (await cast.owner.get("/v1/users/me")).json(),
        "profile": (await cast.owner.get(PROFILE)).json(),
        "preferences": (await cast.owner.get(PREFERENCES)).json(),
    }


async def test_a_user_comes_complete_even_without(cast: Cast) -> None:
    await Profile.raw().delete_many({})
    found = (await cast.owner.get("/v1/users/me/complete")).json()
    assert (found["profile"], found["preferences"]["theme"]) == (None, "auto")


@pytest.mark.parametrize(
    "path", ["complete", "profile", "preferences", "activity", "deletion-plan"]
)
async def test_nobodys_belongings_are_404(cast: Cast, path: str) -> None:
    for user in ("f" * 24, "nonsense", "me"):
        assert (await cast.admin.get(f"/v1/users/{user}/{path}")).status_code == 404
