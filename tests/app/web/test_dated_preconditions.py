"""`If-Unmodified-Since` guards writes and reads, and a read's `If-Match` is a precondition too."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from app.web.preconditions import http_date
from models.app_data import AppData
from models.base import Stored
from models.preferences import Preferences
from models.profile import Profile
from models.user import User
from tests.cast import Cast
from tests.factories.etags import VALUE, WRITABLE, fill, send
from tests.harness import known

LONG_AGO = datetime(2026, 1, 2, 3, 4, 5, 999000, tzinfo=UTC)
DOCUMENTS: dict[str, type[Stored]] = {
    "/v1/users/me": User,
    "/v1/users/me/profile": Profile,
    "/v1/users/me/preferences": Preferences,
    VALUE: AppData,
}


async def age(path: str) -> None:
    """As if the document had last been changed long ago."""
    await DOCUMENTS[path].raw().update_many({}, {"$set": {"updatedAt": LONG_AGO}})


def since(moment: datetime) -> dict[str, str]:
    return {"If-Unmodified-Since": http_date(moment)}


@pytest.mark.parametrize(("path", "method", "body"), WRITABLE)
async def test_a_write_by_date_is_refused_once_it_changed(
    cast: Cast, path: str, method: str, body: Any
) -> None:
    await fill(cast)
    await age(path)
    before = await cast.owner.get(path)
    refused = await send(cast.owner, method, path, body, since(LONG_AGO - timedelta(seconds=1)))
    assert (refused.status_code, refused.json()["code"]) == (412, "version_mismatch")
    assert refused.headers["etag"] == before.headers["etag"]
    assert refused.json()["current"]["version"] == 1
    assert (await cast.owner.get(path)).content == before.content
    done = await send(
        cast.owner, method, path, body, since(LONG_AGO)
    )  # within the second that is shown
    assert done.status_code in (200, 204)


async def test_what_was_shown_as_last_modified_guards_the_next_write(cast: Cast) -> None:
    await fill(cast)
    await age(VALUE)
    shown = {"If-Unmodified-Since": (await cast.owner.get(VALUE)).headers["last-modified"]}
    assert (await cast.owner.put(VALUE, json=1, headers=shown)).status_code == 200
    for late in (
        await cast.owner.put(VALUE, json=2, headers=shown),
        await cast.owner.merge(VALUE, {"a": 1}, headers=shown),
        await cast.owner.delete(VALUE, headers=shown),
    ):
        assert (late.status_code, late.json()["current"]["value"]) == (412, 1)
    absent = await cast.owner.put(VALUE + "none", json=1, headers=shown)
    assert (absent.status_code, absent.json()["current"]) == (412, None)


async def test_if_match_goes_before_a_date(cast: Cast) -> None:
    await fill(cast)
    tag = (await cast.owner.get(VALUE)).headers["etag"]
    both = {"If-Match": tag, **since(LONG_AGO)}
    assert (await cast.owner.put(VALUE, json=1, headers=both)).status_code == 200
    assert (await cast.owner.put(VALUE, json=1, headers=both)).status_code == 412


@pytest.mark.parametrize("date", ["yesterday", "", "2026-11-20", "Fri, 99 Nov 2026 08:30:00 GMT"])
async def test_what_is_no_date_guards_nothing_in_silence(cast: Cast, date: str) -> None:
    await fill(cast)
    for path, method, body in WRITABLE:
        refused = await send(cast.owner, method, path, body, {"If-Unmodified-Since": date})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
            422,
            "header:If-Unmodified-Since",
        )


async def test_each_spelling_of_a_date_is_understood(cast: Cast) -> None:
    await fill(cast)
    await age(VALUE)
    spelled = [
        format_datetime(LONG_AGO, usegmt=True),
        "Friday, 02-Jan-26 03:04:05 GMT",
        "Fri Jan  2 03:04:05 2026",
    ]
    for date in spelled:
        assert (
            await cast.owner.get(VALUE, headers={"If-Unmodified-Since": date})
        ).status_code == 200
    for date in (text.replace("03:04:05", "03:04:04") for text in spelled):
        assert (
            await cast.owner.get(VALUE, headers={"If-Unmodified-Since": date})
        ).status_code == 412


async def test_a_date_is_no_version_where_an_app_requires_one(cast: Cast) -> None:
    assert (
        await cast.admin.put("/v1/apps/notes", json={"name": "N", "requireVersion": True})
    ).status_code == 201
    refused = await cast.owner.put(VALUE, json=1, headers=since(datetime.now(UTC)))
    assert (refused.status_code, refused.json()["code"]) == (428, "version_required")


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_a_read_of_another_version_is_refused(cast: Cast, path: str) -> None:
    await fill(cast)
    await age(path)
    found = await cast.owner.get(path)
    tag = found.headers["etag"]
    for sent in (
        {"If-Match": tag},
        {"If-Match": '"1"'},
        {"If-Match": f'"9", {tag}'},
        {"If-Match": "*"},
        since(LONG_AGO),
    ):
        assert (await cast.owner.get(path, headers=sent)).content == found.content
        assert (await cast.owner.get(path, headers=sent | known(found))).status_code == 304
    others = (await cast.stranger.get(path)).headers["etag"]
    for sent in (
        {"If-Match": '"2"'},
        {"If-Match": others},
        {"If-Match": f"W/{tag}"},
        since(datetime(2025, 1, 1)),
    ):
        refused = await cast.owner.get(path, headers=sent | known(found))
        assert (refused.status_code, refused.headers["etag"]) == (412, tag)
        assert refused.json()["current"]["version"] == 1


async def test_a_read_of_each_representation_takes_its_own_tag(cast: Cast) -> None:
    made = (await cast.admin.post("/v1/accounts", json={"name": "A"})).json()
    path = f"/v1/accounts/{made['id']}"
    tag = (await cast.admin.get(path)).headers["etag"]
    assert (await cast.admin.get(path, headers={"If-Match": tag})).status_code == 200
    assert (await cast.admin.merge(path, {"name": "B"}, headers=since(LONG_AGO))).status_code == 412
    assert (await cast.admin.delete(path, headers=since(LONG_AGO))).status_code == 412
    key = (
        await cast.admin.post("/v1/api-keys", json={"name": "k", "scopes": ["users:read"]})
    ).headers["location"]
    assert (await cast.admin.delete(key, headers=since(LONG_AGO))).status_code == 412
    app = "/v1/apps/notes"
    assert (await cast.admin.put(app, json={"name": "N"})).status_code == 201
    assert (
        await cast.admin.put(app, json={"name": "M"}, headers=since(LONG_AGO))
    ).status_code == 412
    now = since(datetime.now(UTC) + timedelta(seconds=2))
    assert (await cast.admin.put(app, json={"name": "M"}, headers=now)).status_code == 200
