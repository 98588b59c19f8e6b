"""App settings: registered by the first PUT, replaced by the next, one writer per version."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from models.app import App
from tests.cast import Cast
from tests.harness import known, version_of

NOTES = "/v1/apps/notes"


async def test_an_app_is_registered_and_then_replaced(cast: Cast) -> None:
    assert (await cast.admin.get(NOTES)).status_code == 404
    made = await cast.admin.put(NOTES, json={"name": "Notes", "requireVersion": True})
    assert (made.status_code, version_of(made)) == (201, 1)
    assert (
        made.json() | {"id": "notes", "name": "Notes", "requireVersion": True, "version": 1}
        == made.json()
    )
    replaced = await cast.admin.put(NOTES, json={})
    assert (replaced.status_code, version_of(replaced)) == (200, 2)
    assert (replaced.json()["name"], replaced.json()["requireVersion"]) == (None, False)
    assert replaced.json()["createdAt"] == made.json()["createdAt"]
    found = await cast.admin.get(NOTES)
    assert (found.json(), version_of(found)) == (replaced.json(), 2)
    assert (await cast.admin.get(NOTES, headers=known(found))).status_code == 304


async def test_stale_write_returns_the_current_document(cast: Cast) -> None:
    current = (await cast.admin.put(NOTES, json={"name": "Notes"})).json()
    for headers in ({"If-Match": '"2"'}, {"If-None-Match": "*"}, {"If-Match": 'W/"1"'}):
        stale = await cast.admin.put(NOTES, json={}, headers=headers)
        assert (stale.status_code, stale.json()["current"]) == (412, current)
    assert (await cast.admin.put(NOTES, json={}, headers={"If-Match": '"7", "1"'})).json()[
        "version"
    ] == 2
    assert (await cast.admin.put(NOTES, json={}, headers={"If-Match": "*"})).json()["version"] == 3


async def test_a_version_of_an_unregistered_app_is_412_with_nothing(cast: Cast) -> None:
    for tags in ("*", '"1"'):
        stale = await cast.admin.put(NOTES, json={}, headers={"If-Match": tags})
        assert (stale.status_code, stale.json()["current"]) == (412, None)
    assert (await cast.admin.put(NOTES, json={}, headers={"If-None-Match": "*"})).status_code == 201


async def test_racing_registrations_register_one(cast: Cast) -> None:
    only = {"If-None-Match": "*"}
    answers = await asyncio.gather(
        *(cast.admin.put(NOTES, json={"name": str(n)}, headers=only) for n in range(30))
    )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 412: 29}
    blind = await asyncio.gather(*(cast.admin.put("/v1/apps/boats", json={}) for _ in range(30)))
    assert Counter(answer.status_code for answer in blind) == {201: 1, 200: 29}
    assert sorted(answer.json()["version"] for answer in blind) == list(range(1, 31))
    assert await App.raw().count_documents({}) == 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": 5}, "/name"),
        ({"requireVersion": "maybe"}, "/requireVersion"),
        ({"x": 1}, "/x"),
        ([], ""),
    ],
    ids=repr,
)
async def test_other_settings_are_refused_by_field(cast: Cast, body: Any, pointer: str) -> None:
    refused = await cast.admin.put(NOTES, json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await App.raw().count_documents({}) == 0


@pytest.mark.parametrize("app", ["x" * 257, "a b", "%00", "%C3%A9"])
async def test_other_ids_are_refused(cast: Cast, app: str) -> None:
    for refused in (
        await cast.admin.get(f"/v1/apps/{app}"),
        await cast.admin.put(f"/v1/apps/{app}", json={}),
    ):
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "path:appId")


async def test_only_admins_see_and_set_apps(cast: Cast) -> None:
    for caller in (cast.owner, cast.app_key, cast.reader):
        assert (await caller.get(NOTES)).status_code == 403
        assert (await caller.put(NOTES, json={})).status_code == 403
