"""A database of each release is opened by the code of now: steps and indexes go through, no
relation is broken, and the API answers what it answered then."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from app import VERSION
from app.database import bind
from app.recovery.manifest import Manifest
from app.relations import audit
from app.settings import Settings
from app.storage import FolderStore
from indexes import sync
from models import DOCUMENTS
from models.activity import Activity
from scripts.migrate import take_steps
from tests.harness import serve
from tests.upgrades import smallest as filling
from tests.upgrades.making import ANSWERS, HERE
from tests.upgrades.opening import RELEASES, open_release


@pytest.fixture(params=RELEASES)
async def release(
    request: pytest.FixtureRequest,
    empty_database: AsyncDatabase[Any],
    client: AsyncMongoClient[Any],
    base_settings: Settings,
) -> AsyncIterator[tuple[Path, Settings]]:
    """The folder of a release, and settings of a database that it has filled, as it is now."""
    folder = HERE / request.param
    await open_release(empty_database, folder)
    own = base_settings.model_copy(update={"database": empty_database.name})
    await bind(client, own)
    await take_steps(empty_database)
    await sync.apply(empty_database, await sync.plan(empty_database))
    yield folder, own


def same(then: Any, now: Any) -> bool:
    """Whether an answer holds all that it held: later releases may add members."""
    if isinstance(then, dict) and isinstance(now, dict):
        return all(name in now and same(value, now[name]) for name, value in then.items())
    if isinstance(then, list) and isinstance(now, list):
        return len(then) == len(now) and all(map(same, then, now))
    return bool(then == now)


async def test_a_release_s_database_is_whole_and_answers_what_it_did(
    release: tuple[Path, Settings],
) -> None:
    folder, own = release
    scans = await audit.check(restart=True)
    assert [each for each in scans if each.orphans or each.mismatches or each.unreadable] == []
    then = json.loads((folder / ANSWERS).read_text())
    async with serve(own) as api:
        admin = await api.key("admin")
        for path, answer in then.items():
            if path != "/v1/api-keys":  # the one by which it is asked is among them
                told = await admin.get(path)
                assert told.status_code == 200, f"{path}: {told.text}"
                assert same(answer, told.json()), f"{path}: {answer} became {told.text}"
    assert len(then) >= 15


def test_this_release_has_a_database_with_a_document_of_every_collection() -> None:
    assert VERSION in RELEASES, "python -m tests.upgrades.making"
    parts = {part.name: part.documents for part in Manifest.of(FolderStore(HERE / VERSION)).parts}
    missing = {
        each.collection_name() for each in DOCUMENTS if not parts.get(each.collection_name())
    }
    assert missing == set(), "python -m tests.upgrades.making"
    assert sum(each.stat().st_size for each in (HERE / VERSION).iterdir()) < 200_000


def test_an_answer_that_lost_something_is_seen() -> None:
    assert same({"a": [{"b": 1}]}, {"a": [{"b": 1, "new": 2}], "c": 3})
    assert not same({"a": [{"b": 1}]}, {"a": [{"b": 2}]})
    assert not same({"a": 1}, {}) and not same([1], [1, 2])


async def test_a_field_that_asks_for_more_than_its_type_is_as_the_examples_show_it(
    database: AsyncDatabase[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "GIVEN", {**filling.GIVEN, "app_id": "no name!"})
    row = filling.smallest(Activity, {"users": ObjectId()})
    assert row["appId"] == filling.in_examples()["appId"]
