"""What is stored before the measuring: users with their values, and the credentials that reach
them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson
import typer
from bson import ObjectId
from bson import Timestamp as ClusterTime

from app.database import bind, connect
from app.identity.tokens import load_tokens
from app.settings import Settings
from indexes import sync
from models.api_key import ApiKey, ApiKeyContent
from models.app_data import AppData
from models.base import Raw, now
from models.user import User
from scripts.bench import bare
from scripts.bench.traffic import APP, OWNED_APP, OWNED_KEYS, value

USERS: Final = 300
KEYS: Final = 12


@dataclass(frozen=True, slots=True)
class Plan:
    """What the load generator knows.

    Attributes:
        users: pairs of a user's id and their access token.
        keys: how many values each user has under `APP`.
        event_key: API key that sends events of `APP`.
        connections: how many requests are under way at any time.
    """

    users: list[tuple[str, str]]
    keys: int
    event_key: str
    connections: int


async def fill(settings: Settings, uri: str, connections: int) -> tuple[Plan, str]:
    """Make indexes, users, values and credentials, and the yardstick's collections.

    Returns:
        The plan, and the version of the MongoDB.
    """
    async with connect(settings, uri, bounded=False) as client:
        database = await bind(client, settings)
        await sync.apply(database, await sync.plan(database, lean=settings.lean_indexes))
        users = await _users()
        await AppData.raw().insert_many(_values(users, connections))
        await bare.fill(client, database)
        yardstick = client[bare.INDEXED]
        await sync.apply(yardstick, await sync.plan(yardstick))
        key, secret = ApiKey.issue(ApiKeyContent(name="bench", scopes=["events:write"], app_id=APP))
        await key.add()
        tokens, issued_at = load_tokens(settings), time.time()
        pairs = [
            (str(user.id), tokens.mint(user.id, issued_at=issued_at)[0])
            for user in users
            if user.id
        ]
        return Plan(pairs, KEYS, secret, connections), (await client.server_info())["version"]


async def _users() -> list[User]:
    users = [
        User(email=f"person-{number}@bench.test", name=f"Person {number}")
        for number in range(USERS)
    ]
    rows = [user.stored() for user in users]
    await User.raw().insert_many(rows)
    for user, row in zip(users, rows, strict=True):
        user.id = row["_id"]
    return users


def _values(users: list[User], connections: int) -> Iterator[Raw]:
    """The values that everybody reads, and those that one connection each writes."""
    for user in users:
        yield from (_row(user, APP, f"key-{number}", number) for number in range(KEYS))
    for owner in range(connections):
        yield from (
            _row(users[owner], OWNED_APP, f"key-{number}", number) for number in range(OWNED_KEYS)
        )


def _row(user: User, app_id: str, data_key: str, number: int) -> dict[str, Any]:
    stamp = ClusterTime(int(time.time()), 1)
    document = AppData(
        user_id=user.id,
        app_id=app_id,
        data_key=data_key,
        value=value(number),
        changed_at=stamp,
        changed_by="bench",
    )
    return document.stored()


def value_row(user_id: ObjectId, app_id: str, data_key: str, number: int) -> Raw:
    """A value as it is stored, made without a document in between: millions are."""
    moment, content = now(), value(number)
    return {
        "userId": user_id,
        "appId": app_id,
        "dataKey": data_key,
        "value": content,
        "escaped": False,
        "deleted": False,
        "version": 1,
        "changedAt": ClusterTime(int(moment.timestamp()), number + 1),
        "changedBy": "bench",
        "bytes": len(orjson.dumps(content)),
        "createdAt": moment,
        "updatedAt": moment,
    }


def sizes_of(text: str) -> list[int]:
    """The numbers that `--sizes` names, separated by commas, each once, growing.

    Raises:
        typer.BadParameter: one is no number.
    """
    try:
        return sorted({int(size) for size in text.split(",")})
    except ValueError:
        raise typer.BadParameter("numbers separated by commas", param_hint="--sizes") from None
