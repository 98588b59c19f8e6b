"""What was deleted stays deleted: the ledger outside of the database has it before a receipt is
final, and a restored database loses it again."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from app.database.turns import AlwaysOvertaken
from app.ledger import DamagedLedgerError, Ledger, LedgerAheadError, Position, write_out
from app.recovery import replay
from app.recovery.restored import finish_restore
from app.relations.delete import sweep_again
from app.settings import Settings
from app.work import HOOKS
from models import Account, ApiKey, AppData, Card, Deletion, LedgerNote, User
from models.api_key import ApiKeyContent
from models.base import now
from models.deployment import Deployment
from tests.app.recovery.conftest import Command, Snapshot
from tests.cast import Cast, Programme
from tests.conftest import MakeApi
from tests.factories.buckets import bucket, new_bucket
from tests.factories.deletions import ledger_of, orphans_of
from tests.harness import Api

Raw = dict[str, Any]
DATA = "/v1/users/me/apps/notes/data"


@pytest.fixture
async def snapshot(api: Api, cast: Cast, database: AsyncDatabase[Raw]) -> AsyncIterator[Snapshot]:
    await cast.owner.put(f"{DATA}/k", json="theirs")
    await Deployment.epoch()
    yield await Snapshot(database).take()


async def test_who_was_deleted_after_the_backup_is_gone_again(
    api: Api, cast: Cast, snapshot: Snapshot
) -> None:
    owner = ObjectId(cast.owner.id)
    assert (await cast.owner.delete("/v1/users/me")).status_code == 200
    await write_out(api.settings)
    await snapshot.put_back()
    assert (await cast.nobody.get("/readyz")).json()["code"] == "restored_unfinished"
    with pytest.raises(LedgerAheadError):
        await write_out(api.settings)

    report = await finish_restore(api.settings, HOOKS)
    assert (report.is_sound, report.counts["documents deleted again"]) == (True, 1)
    assert await User.find_by_id(owner) is None
    assert await orphans_of(owner) == {}
    assert (await ledger_of(owner)).by == "restored"
    assert (await cast.nobody.get("/readyz")).json().get("code") != "restored_unfinished"
    again = await finish_restore(api.settings, HOOKS)
    assert again.counts.get("documents deleted again", 0) == 0
    assert again.epoch == report.epoch + 1


async def test_a_receipt_waits_for_the_ledger(
    make_api: MakeApi, cast: Cast, tmp_path: Path
) -> None:
    blocked = tmp_path / "ledger"
    blocked.write_text("no folder")
    api = await make_api(ledger=str(blocked))
    owner = ObjectId(cast.owner.id)
    assert (await cast.owner.delete("/v1/users/me")).status_code == 200
    for _ in range(2):
        await sweep_again([await ledger_of(owner)], api.settings, HOOKS)
        assert not (await ledger_of(owner)).final
    assert await LedgerNote.raw().count_documents({"of": owner}) == 1, "nothing is lost meanwhile"
    blocked.unlink()
    await sweep_again([await ledger_of(owner)], api.settings, HOOKS)
    assert (await ledger_of(owner)).final
    notes = [note for notes in Ledger.of(api.settings).notes() for note in notes]
    assert [(note["subject"], note["root"]) for note in notes] == [(owner, "users")]
    assert set(notes[0]) == {"kind", "subject", "root", "at"}, "ids only"


async def test_revoked_and_rotated_keys_stay_void(
    api: Api, cast: Cast, database: AsyncDatabase[Raw]
) -> None:
    keys = [await _key(name) for name in ("revoked", "rotated", "kept")]
    (revoked, one), (rotated, two), (_, three) = keys
    taken = await Snapshot(database).take()
    assert (await cast.admin.delete(f"/v1/api-keys/{revoked}")).status_code == 204
    assert (await cast.admin.post(f"/v1/api-keys/{rotated}/rotate", json={})).status_code == 200
    await write_out(api.settings)
    await taken.put_back()
    report = await finish_restore(api.settings, HOOKS)
    assert report.counts["keys revoked again"] == 2
    answers = [await api.caller(each).get("/v1/users") for each in (one, two, three)]
    assert [answer.status_code for answer in answers] == [401, 401, 200]


async def _key(name: str) -> tuple[str, str]:
    content = {"name": name, "scopes": ["users:read"]}
    key, secret = ApiKey.issue(ApiKeyContent.model_validate(content))
    await key.add()
    return str(key.id), secret


async def test_an_apps_data_stays_deleted_and_what_is_younger_stays(
    api: Api, cast: Cast, snapshot: Snapshot, database: AsyncDatabase[Raw]
) -> None:
    answer = await cast.owner.delete("/v1/users/me/apps/notes")
    assert (answer.status_code, answer.json()["final"]) == (200, True)
    assert await LedgerNote.raw().count_documents({}) == 0, "final means that the ledger has it"
    await snapshot.put_back()
    report = await finish_restore(api.settings, HOOKS)
    assert report.counts["values of apps deleted again"] == 1
    assert await AppData.raw().find_one({"deleted": False}) is None
    await api.token(cast.owner.id).put(f"{DATA}/later", json="after it")
    await finish_restore(api.settings, HOOKS)
    assert await AppData.raw().count_documents({"deleted": False}) == 1


async def test_what_forbids_a_deletion_that_was_made_does_not_stop_the_replay(
    api: Api, programme: Programme, cast: Cast, database: AsyncDatabase[Raw]
) -> None:
    """The card was closed after the backup, and then its person deleted."""
    card = await Card.raw().find_one({"userId": {"$ne": None}})
    assert card is not None
    await Card.raw().update_one({"_id": card["_id"]}, {"$set": {"status": "open"}})
    taken = await Snapshot(database).take()
    await Card.raw().update_one({"_id": card["_id"]}, {"$set": {"status": "closed"}})
    assert (await cast.admin.delete(f"/v1/users/{card['userId']}")).status_code == 200
    await write_out(api.settings)
    await taken.put_back()
    report = await finish_restore(api.settings, HOOKS)
    assert (report.is_sound, await User.find_by_id(card["userId"])) == (True, None)
    row = await Card.raw().find_one({"_id": card["_id"]})
    assert row is not None
    assert (row["status"], "userId" in row) == ("orphaned", False)


async def test_an_account_takes_its_people_again(
    api: Api, programme: Programme, cast: Cast, database: AsyncDatabase[Raw]
) -> None:
    person = await User.raw().find_one({"accountId": {"$ne": None}})
    assert person is not None
    taken = await Snapshot(database).take()
    path = f"/v1/accounts/{person['accountId']}"
    assert (await cast.admin.delete(path)).status_code in (200, 202)
    await write_out(api.settings)
    await taken.put_back()
    await finish_restore(api.settings, HOOKS)
    assert await Account.find_by_id(person["accountId"]) is None
    assert await User.find_by_id(person["_id"]) is None


async def test_the_ledger_says_which_database_is_older_even_without_a_deletion(
    api: Api, cast: Cast, snapshot: Snapshot
) -> None:
    await write_out(api.settings)  # as the worker does every ten minutes
    await snapshot.put_back()
    assert (await cast.nobody.get("/readyz")).json()["code"] == "restored_unfinished"


async def test_a_damaged_ledger_is_told_and_nothing_is_ready(
    api: Api, cast: Cast, snapshot: Snapshot
) -> None:
    await cast.owner.delete("/v1/users/me")
    await write_out(api.settings)
    folder = Path(api.settings.ledger_place) / api.settings.database / "notes"
    (path,) = folder.iterdir()
    path.write_text(path.read_text().replace("users", "apps"))
    with pytest.raises(DamagedLedgerError):
        await finish_restore(api.settings, HOOKS)
    assert (await cast.nobody.get("/readyz")).json()["code"] == "restored_unfinished"


async def test_killed_between_the_ledger_and_the_database_nothing_is_lost(
    api: Api, cast: Cast, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cast.owner.delete("/v1/users/me")
    with monkeypatch.context() as patch:
        patch.setattr(LedgerNote, "drop", None)  # the process dies there
        with pytest.raises(TypeError):
            await write_out(api.settings)
    position = Position(*await Deployment.position())
    assert not position.is_behind(Ledger.of(api.settings).position()), "it is no restored database"
    assert await write_out(api.settings) == 1, "it is noted twice, which does no harm"
    await snapshot.put_back()
    report = await finish_restore(api.settings, HOOKS)
    assert report.counts["documents deleted again"] == 1


async def test_a_killed_replay_is_begun_anew(
    api: Api,
    cast: Cast,
    database: AsyncDatabase[Raw],
    client: AsyncMongoClient[Raw],
    command: Command,
) -> None:
    people = [User().stored() | {"_id": ObjectId()} for _ in range(5)]
    await User.raw().insert_many(people)
    taken = await Snapshot(database).take()
    for each in people:
        assert (await cast.admin.delete(f"/v1/users/{each['_id']}")).status_code == 200
    await write_out(api.settings)
    await taken.put_back()
    killed_at = ("app.recovery.replay:delete_root", 3)
    command("restored", database=database.name, killed_at=killed_at)
    assert await Deployment.is_restoring()
    assert "documents deleted again" in command("restored", database=database.name)
    gone = [each["_id"] for each in people]
    assert await User.raw().count_documents({"_id": {"$in": gone}}) == 0
    assert await Deletion.raw().count_documents({"_id": {"$in": gone}}) == 5
    assert not await Deployment.is_restoring()
    assert now() > people[0]["createdAt"]


async def test_a_bucket_keeps_the_ledger_as_well(s3: str, base_settings: Settings) -> None:
    name = new_bucket(s3)
    place = {"ledger": f"s3://{name}/ledger"}
    ledger = Ledger.of(base_settings.model_copy(update=bucket(s3, name) | place))
    assert ledger.position() == Position()
    ledger.add(1, [{"of": ObjectId("6" * 24)}])
    ledger.add(2, [{"of": 2}, {"of": 3}])
    ledger.mark(Position(3, 2))
    assert ledger.position() == Position(3, 2)
    assert [note["of"] for notes in ledger.notes() for note in notes] == [ObjectId("6" * 24), 2, 3]


async def test_a_transaction_of_a_killed_replay_is_waited_for(
    api: Api, cast: Cast, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the way until the database ends it, longer than any writer waits otherwise."""
    await cast.owner.delete("/v1/users/me")
    await write_out(api.settings)
    await snapshot.put_back()
    in_the_way, real = 3, replay.delete_root

    async def overtaken(*args: Any, **options: Any) -> Any:
        nonlocal in_the_way
        in_the_way -= 1
        if in_the_way >= 0:
            raise AlwaysOvertaken("others were faster")
        return await real(*args, **options)

    monkeypatch.setattr(replay, "delete_root", overtaken)
    report = await finish_restore(api.settings, HOOKS)
    assert (report.counts["documents deleted again"], in_the_way) == (1, -1)
    await snapshot.put_back()
    in_the_way = 10**9
    monkeypatch.setattr(replay, "_KILLED_FOR", 0.0)
    with pytest.raises(AlwaysOvertaken):
        await finish_restore(api.settings, HOOKS)
