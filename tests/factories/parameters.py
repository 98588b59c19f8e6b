"""What stands for each parameter of a path where tests ask every route: one table, for
tests/factories/operations.py, changing.py and stages.py, and for fixtures (`places`, `settled`,
`opened`)."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bson import ObjectId

from models import AuthIdentity, RefreshToken
from models.base import now
from models.repository_connection import RepositoryConnection
from models.webhook_event import WebhookEvent
from tests.described import OPERATIONS
from tests.factories.posted import MAKERS, makers_of, names_in, posted
from tests.factories.scenes import Scene

HERE = "tests/factories/parameters.py"


@dataclass(frozen=True)
class Parameter:
    """What tests cannot tell from a parameter's schema.

    Attributes:
        made: an existing one: its text, or what makes one, given the path that it is for.
        absent: one of nothing that is stored, where `made_up` does not do: `{userId}` in it is the
            user's id.
        owned: whether a person has one of their own, which their routes are about.
        kept: what `named` (tests/upgrades/making.py) calls it, where that is another name; None
            where no release keeps one.
    """

    made: str | Callable[[Scene, str], Awaitable[str]] | None = None
    absent: str | None = None
    owned: bool = True
    kept: str | None = ""


async def user(scene: Scene, path: str) -> str:
    return scene.cast.stranger.id if "/members/" in path else scene.person.id


async def account(scene: Scene, _: str) -> str:
    return (await scene.cards()).account


async def card(scene: Scene, _: str) -> str:
    return (await scene.cards()).card


async def profile(scene: Scene, _: str) -> str:
    return (await scene.cards()).profile


async def connection(scene: Scene, _: str) -> str:
    return await scene.make(scene.person, "/v1/users/me/connections", scene.connection)


async def project(scene: Scene, path: str) -> str:
    made = await scene.make(scene.person, "/v1/projects", {"name": "P"})
    if path.endswith("/repository"):
        await scene.connect(made)
    return made


async def event(scene: Scene, _: str) -> str:
    """A delivery to the project's repository that failed."""
    await project(scene, "/repository")
    repository = await RepositoryConnection.raw().find_one({})
    assert repository is not None
    sent = {"connectionId": repository["_id"], "deliveryId": "1", "event": "push", "payload": {}}
    told = WebhookEvent.model_validate({**sent, "status": "failed", "receivedAt": now()})
    return str((await told.add()).id)


async def identity(scene: Scene, _: str) -> str:
    user_id: Any = ObjectId(scene.person.id)
    made = AuthIdentity(user_id=user_id, provider="google", provider_id="g-1")
    return str((await made.add()).id)


async def session(scene: Scene, _: str) -> str:
    user_id: Any = ObjectId(scene.person.id)
    until = now() + timedelta(days=1)
    device = RefreshToken(
        user_id=user_id, token_hash="h", auth_method="google", ends_at=until, expires_at=until
    )
    return str((await device.add()).id)


PARAMETERS = {
    "userId": Parameter(user, owned=False),
    "appId": Parameter("notes", absent="notes", owned=False),
    "dataKey": Parameter("settings", absent="k", owned=False),
    "externalId": Parameter("crm-1", absent="crm-{userId}-7", owned=False, kept=None),
    "value": Parameter(absent="v-{userId}", owned=False, kept=None),
    "writeKey": Parameter(owned=False, kept=None),
    "provider": Parameter("google", owned=False, kept=None),
    "keyId": Parameter(owned=False),
    "accountId": Parameter(account, owned=False),
    "cardId": Parameter(card, owned=False),
    "profileId": Parameter(profile, owned=False, kept="spendingProfileId"),
    "connectionId": Parameter(connection),
    "projectId": Parameter(project),
    "eventId": Parameter(event, kept=None),
    "identityId": Parameter(identity, kept=None),
    "sessionId": Parameter(session, kept=None),
}
"""By name. None needs an entry that is in no example, nor in a person's route, and is found in a
release."""

SCHEMAS: dict[str, dict[str, Any]] = {
    parameter["name"]: parameter["schema"]
    for operation in OPERATIONS.values()
    for parameter in operation.get("parameters", [])
    if parameter["in"] == "path"
}


class NotToldError(LookupError):
    """A test needs more of a parameter than its schema says."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f'{HERE}: in PARAMETERS, "{name}" has to say {what}')


def made_up(name: str, schema: dict[str, Any]) -> str:
    """What a schema lets pass: its example, a name, its least number, an id of nothing."""
    if shown := [*schema.get("examples", []), *schema.get("enum", [])]:
        return str(shown[0])
    if "minimum" in schema:
        return str(schema["minimum"])
    text = "f" * 24 if name.endswith("Id") else "x"
    if not re.search(schema.get("pattern", ""), text):
        raise NotToldError(name, f"`absent`, a text of {schema['pattern']}")
    return text


def absent(name: str, user_id: str) -> str:
    """A placeholder that is let in, and that nothing stored stands for."""
    told = PARAMETERS.get(name, Parameter()).absent
    if told is None:
        return made_up(name, SCHEMAS[name])
    return told.replace("{userId}", user_id)


async def made(name: str, scene: Scene, path: str = "") -> str:
    """One that exists, for a path."""
    maker = PARAMETERS.get(name, Parameter()).made
    if maker is None and name in makers_of(path):
        return await posted_for(name, scene)
    if maker is None:
        raise NotToldError(name, f"`made`, how one is made for {path}")
    return maker if isinstance(maker, str) else await maker(scene, path)


async def posted_for(name: str, scene: Scene) -> str:
    """One by the example of the `POST` that makes it, of the person where people may; else of an
    admin."""
    place = MAKERS[name]
    given = {each: await made(each, scene, place) for each in names_in(place)}
    path = place.format(**given)
    if path not in scene.made:
        own = OPERATIONS[f"POST {place}"]["x-satchel-access"]["owner"]
        scene.made[path] = await posted(scene.person if own else scene.cast.admin, place, path)
    return scene.made[path]


def is_owned(name: str) -> bool:
    """Whether a person's routes are about one that is theirs: unless told otherwise, of whatever
    is no number, and none of a few words."""
    told = PARAMETERS.get(name)
    return not in_schema(name) if told is None else told.owned


def in_schema(name: str) -> bool:
    """Whether a schema says the least number, or some of the words."""
    return not SCHEMAS[name].keys().isdisjoint({"minimum", "enum", "examples"})


async def owned(scene: Scene, paths: list[str]) -> dict[str, str]:
    """What is the person's own in these paths."""
    found: dict[str, str] = {}
    for path in paths:
        for name in names_in(path):
            if is_owned(name) and name not in found:
                found[name] = await made(name, scene, path)
    return found


def placed(path: str, places: Mapping[str, str], user_id: str) -> dict[str, str]:
    """A value for each parameter of a path: what is there, or the placeholder of what nobody
    owns."""
    return {name: places.get(name) or unowned(name, user_id) for name in names_in(path)}


def unowned(name: str, user_id: str) -> str:
    if is_owned(name):
        raise NotToldError(name, "`made`, or `owned=False` where no person has one")
    return absent(name, user_id)


def kept(found: Mapping[str, str]) -> dict[str, str]:
    """A value for each parameter of the document: what a release keeps, else a placeholder."""
    return {name: kept_as(name, found) for name in SCHEMAS}


def kept_as(name: str, found: Mapping[str, str]) -> str:
    told = PARAMETERS.get(name, Parameter(kept=None if in_schema(name) else ""))
    value = found.get(told.kept or name)
    if value is None and told.kept is not None:
        raise NotToldError(
            name, "`kept=None`, unless python -m tests.upgrades.making makes the release anew"
        )
    return value or absent(name, found["userId"])
