"""`python -m tests.upgrades.making`: a small database as this release leaves it, with what its API
answers, for later releases to open.

A folder named after the release holds a backup (`docs/backups.md`) and `answers.json`.
"""

import asyncio
import json
import re
import shutil
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from app import VERSION
from app.analytics.rollup.advance import advance
from app.database import bind, connect
from app.recovery.backup import back_up
from app.settings import Settings
from app.storage import FolderStore
from indexes import sync
from models import DOCUMENTS
from scripts.migrate import take_steps
from scripts.mongod import start_mongod
from tests.cast import PROFILE
from tests.harness import Api, Caller, serve
from tests.upgrades.smallest import smallest

HERE = Path(__file__).parent
ANSWERS = "answers.json"
NOT_KEPT = re.compile(
    r"/(v1/analytics/.*|metrics|livez|readyz|console.*|docs.*|openapi.json|\.well-known.*|v1/admin/.*"
    r"|.*/(activity.*|events|changes|export|stream))"
)
"""What has no answer of its own, one of every process, one that never ends, or one of the
last days; and analytics, whose
rows are made of texts here that no rollup would write."""
Raw = dict[str, Any]


async def make(folder: Path, data_dir: Path, uri: str) -> None:
    """Fill an empty database, note what the API answers, and back it up to a folder."""
    own = Settings(_env_file=None, mongodb_uri=uri, data_dir=data_dir, database="release")  # type: ignore[arg-type]
    async with connect(own, uri, bounded=False) as client:
        database = await bind(client, own)
        await sync.apply(database, await sync.plan(database))
        await take_steps(database)
        async with serve(own.model_copy(update={"log_level": "error"})) as api:
            admin = await api.key("admin")
            await tell_story(admin)
            await advance(timedelta(0))
            await complete(database)
            answers = await answers_of(api, admin, await named(database))
        await bind(client, own)
        await back_up(database, FolderStore(folder), VERSION)
    (folder / ANSWERS).write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")


async def tell_story(admin: Caller) -> None:
    """What people and servers do, by the API."""

    async def sent(method: str, path: str, body: Any, **headers: str) -> Any:
        answer = await admin.request(method, path, json=body, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json()

    person = {"email": "ann@example.com", "name": "Ann"}
    user = (await sent("POST", "/v1/users", person, **{"Idempotency-Key": "made"}))["id"]
    gone = (await sent("POST", "/v1/users", {"name": "Gone"}))["id"]
    assert (await admin.delete(f"/v1/users/{gone}")).status_code in (200, 202, 204)
    await sent("PUT", "/v1/apps/notes", {"history": 3, "quota": {"keys": 100}})
    mine = f"/v1/users/{user}"
    await sent("PUT", f"{mine}/profile", {"bio": "Writes.", "displayName": "Ann"})
    await sent("PUT", f"{mine}/preferences", {"theme": "dark"})
    for key, value in (("a", {"$ref": 1, "a.b": "ä"}), ("b", [1, 2.5, None]), ("a", "again")):
        await sent("PUT", f"{mine}/apps/notes/data/{key}", value)
    assert (await admin.delete(f"{mine}/apps/notes/data/b")).status_code == 204
    doing = {"appId": "notes", "eventType": "opened", "eventData": {"page": 1}}
    await sent("POST", f"{mine}/activity", doing)
    event = {"appId": "notes", "eventName": "read", "eventCategory": "engagement", "userId": user}
    await sent("POST", "/v1/analytics/events", event)
    account = (await sent("POST", "/v1/accounts", {"name": "Acme"}))["id"]
    here = f"/v1/accounts/{account}"
    holder = (await sent("POST", f"{here}/users", {"name": "Holder"}))["id"]
    profile = (await sent("POST", f"{here}/spending-profiles", PROFILE))["id"]
    card = {"userId": holder, "spendingProfileId": profile, "lastFour": "4242"}
    await sent("POST", f"{here}/cards", card)


async def complete(database: AsyncDatabase[Raw]) -> None:
    """Give every collection that has no document one, below the first of each."""
    first: Raw = {}
    for document in DOCUMENTS:
        row = await database[document.collection_name()].find_one({}, sort=[("_id", 1)])
        if row is None:
            row = smallest(document, first)
            row["_id"] = (await database[document.collection_name()].insert_one(row)).inserted_id
        first[document.collection_name()] = row["_id"]


async def named(database: AsyncDatabase[Raw]) -> dict[str, str]:
    """What the parameters of paths stand for: `projectId` for the first `Project`, and so on; a
    release has none of what is younger."""
    found = {}
    for document in DOCUMENTS:
        row = await database[document.collection_name()].find_one({}, sort=[("_id", 1)])
        if row is not None:
            found[f"{document.__name__[0].lower()}{document.__name__[1:]}Id"] = str(row["_id"])
    card = await database["cards"].find_one({})
    assert card is not None
    return found | {
        "accountId": str(card["accountId"]),
        "cardId": str(card["_id"]),
        "keyId": found["apiKeyId"],
        "appId": "notes",
        "dataKey": "a",
        "service": "GitHub",
    }


async def answers_of(api: Api, caller: Caller, values: dict[str, str]) -> dict[str, Any]:
    """What every route that reads answers an admin, by its path; of those that find something."""
    found = {}
    for template, item in api.app.openapi()["paths"].items():
        names = set(re.findall(r"{(\w+)}", template))
        if "get" in item and names <= values.keys() and not NOT_KEPT.fullmatch(template):
            path = re.sub(r"{(\w+)}", lambda name: values[name[1]], template)
            answer = await caller.get(path)
            assert answer.status_code < 500, f"{path}: {answer.text}"
            if answer.status_code == 200 and "json" in answer.headers["content-type"]:
                found[path] = answer.json()
    return found


def main() -> None:
    """Make the folder of this release; one that is there is made anew."""
    target = HERE / VERSION
    with tempfile.TemporaryDirectory() as temporary:
        mongod, made = start_mongod(Path(temporary), cache_gb=0.25), Path(temporary) / VERSION
        try:
            made.mkdir()
            asyncio.run(make(made, Path(temporary), mongod.uri))
        finally:
            mongod.stop()
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made, target)
    sys.stdout.write(f"{target}: {sum(each.stat().st_size for each in target.iterdir()):,} bytes\n")


if __name__ == "__main__":
    main()
