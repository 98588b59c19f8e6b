"""Events in the files of the archive go out with the rest of their person, each once."""

from pathlib import Path

from app.analytics.archive import restore
from models.seal import SOME, ArchivedDay
from tests.app.analytics.conftest import Place, opened, seal_and_archive
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.exports import lines_of


async def test_archived_events_are_exported_where_they_are_asked_for(
    make_api: MakeApi, tmp_path: Path
) -> None:
    place = Place({"analytics_archive": str(tmp_path / "archive")}, folder=tmp_path)
    api, cast = await opened(make_api, place)
    path = "/v1/users/me/export"
    before = [document for kind, document in lines_of(await cast.owner.get(path))]
    assert await seal_and_archive(api.settings) == 1
    without = lines_of(await cast.owner.get(path))
    assert "analytics" not in {kind for kind, _ in without}
    asked = {"archived": "true"}
    archived = lines_of(await cast.owner.get(path, params=asked))
    events = [document for kind, document in archived if kind == "analytics"]
    assert len(events) == 3
    assert all(event in before for event in events)
    assert {event["userId"] for event in events} == {cast.owner.id}
    (day,) = await ArchivedDay.raw().find({}).to_list()
    await restore.restore_day(api.settings, "notes", f"{day['day']:%Y-%m-%d}")
    await ArchivedDay.raw().update_one({}, {"$set": {"parts.0.stored": SOME}})
    again = lines_of(await cast.owner.get(path, params=asked))
    assert [kind for kind, _ in again].count("analytics") == 3
    api.app.state.settings = api.settings.model_copy(update={"analytics_archive": None})
    refused = await cast.owner.get(path, params=asked)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "?archived")


async def test_without_an_archive_nothing_is_archived(cast: Cast) -> None:
    answer = await cast.owner.get("/v1/users/me/export", params={"archived": "true"})
    assert lines_of(answer)[-1][0] == "end"
