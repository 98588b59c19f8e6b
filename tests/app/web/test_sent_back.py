"""What was shown can be sent back: the merge that a 412 asks for needs no field picked out."""

from typing import Any

import pytest

from tests.cast import Cast

PATHS = ["/v1/users/{id}/profile", "/v1/users/{id}/preferences", "/v1/apps/notes"]
CHANGED: list[tuple[str, Any]] = [
    ("id", "f" * 24),
    ("version", 7),
    ("version", None),
    ("createdAt", "2020-01-01T00:00:00Z"),
    ("updatedAt", "2020-01-01T00:00:00Z"),
    ("userId", "f" * 24),
]


async def shown(cast: Cast, path: str) -> tuple[str, dict[str, Any]]:
    path = path.format(id=cast.owner.id)
    assert (await cast.admin.put(path, json={})).is_success
    found: dict[str, Any] = (await cast.admin.get(path)).json()
    return path, found


@pytest.mark.parametrize("path", PATHS)
async def test_the_current_of_a_412_is_taken_back(cast: Cast, path: str) -> None:
    path, _ = await shown(cast, path)
    stale = await cast.admin.put(path, json={}, headers={"If-Match": '"9"'})
    current, tag = stale.json()["current"], {"If-Match": stale.headers["etag"]}
    put = await cast.admin.put(path, json=current, headers=tag)
    assert (put.status_code, put.json()["version"]) == (200, current["version"] + 1)
    assert put.json() == {
        **current,
        "version": current["version"] + 1,
        "updatedAt": put.json()["updatedAt"],
    }
    late = await cast.admin.put(path, json=current, headers=tag)
    assert (late.status_code, late.json()["current"]) == (412, put.json())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("name", "value"), CHANGED)
async def test_a_changed_field_that_is_not_for_clients_is_named(
    cast: Cast, path: str, name: str, value: Any
) -> None:
    path, before = await shown(cast, path)
    refused = await cast.admin.put(path, json={**before, name: value})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{name}")
    assert (await cast.admin.get(path)).json() == before


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_that_tells_its_version_does_not_overwrite_another(
    cast: Cast, path: str
) -> None:
    path, before = await shown(cast, path)
    assert (await cast.admin.put(path, json=before)).status_code == 200
    assert (await cast.admin.put(path, json=before)).status_code == 422
    assert (await cast.admin.get(path)).json()["version"] == before["version"] + 1


async def test_an_app_that_is_not_there_may_be_told_its_id_only(cast: Cast) -> None:
    assert (await cast.admin.put("/v1/apps/boats", json={"version": 1})).status_code == 422
    assert (await cast.admin.put("/v1/apps/boats", json={"id": "notes"})).status_code == 422
    assert (await cast.admin.put("/v1/apps/boats", json={"id": "boats"})).status_code == 201
    tag = {"If-Match": '"5"'}
    assert (
        await cast.admin.put("/v1/apps/other", json={"id": "other"}, headers=tag)
    ).status_code == 412
