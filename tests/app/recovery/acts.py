"""Acts that take something away, kind by kind: what there is before, the act, and what is left."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import SecretStr

from app.database import transaction
from models import AuthIdentity, Invitation, User
from models.account import Account
from models.base import now
from models.card import Card
from models.connection import Connection
from models.repository_connection import RepositoryConnection
from tests.cast import Cast, Programme
from tests.factories.changing import CONNECTION
from tests.factories.invitations import invite, invited, members, new_project
from tests.harness import Api


@dataclass
class Scene:
    """Who and what there is; `made` are ids that a case keeps."""

    api: Api
    cast: Cast
    programme: Programme
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def owner(self) -> ObjectId:
        return ObjectId(self.cast.owner.id)


Step = Callable[[Scene], Awaitable[Any]]


@dataclass(frozen=True)
class Case:
    """An act that takes something away.

    Attributes:
        before: what there is when the backup is made.
        act: takes it.
        left: what is then to be seen, and is to be seen after the restore.
        back: gives it back, where it can be given by one request.
    """

    before: Step
    act: Step
    left: Step
    back: Step | None = None


async def nothing(_: Scene) -> None:
    """All that it takes is there."""


def ok(answer: Any) -> Any:
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


async def patched(scene: Scene, path: str, **fields: Any) -> None:
    ok(await scene.cast.admin.merge(path, fields))


def patching(place: Callable[[Scene], str], **fields: Any) -> Step:
    async def act(scene: Scene) -> None:
        await patched(scene, place(scene), **fields)

    return act


def of(document: Any, subject: Callable[[Scene], Any], *names: str) -> Step:
    """These stored fields of a document."""

    async def left(scene: Scene) -> Any:
        row = await document.raw().find_one({"_id": subject(scene)})
        return {name: row.get(name) for name in names}

    return left


def owner_path(scene: Scene) -> str:
    return f"/v1/users/{scene.cast.owner.id}"


def owner_id(scene: Scene) -> ObjectId:
    return scene.owner


def account_path(scene: Scene) -> str:
    return scene.programme.path


def account_id(scene: Scene) -> ObjectId:
    return ObjectId(scene.programme.account)


async def two_ways_in(scene: Scene) -> None:
    for number, provider in enumerate(("google", "facebook")):
        user_id = PydanticObjectId(scene.owner)
        made = await AuthIdentity(
            user_id=user_id, provider=provider, provider_id=f"taken-{number}"
        ).add()
        scene.made[provider] = made.id
    methods = {"$set": {"authMethods": ["google", "facebook"]}}
    await User.raw().update_one({"_id": scene.owner}, methods)


async def unlink(scene: Scene) -> None:
    ok(await scene.cast.owner.delete(f"/v1/users/me/identities/{scene.made['facebook']}"))


async def ways_in(scene: Scene) -> Any:
    rows = await AuthIdentity.raw().find({"userId": scene.owner}).to_list()
    user = await User.raw().find_one({"_id": scene.owner})
    return {each["provider"] for each in rows}, user and user["authMethods"]


async def project_of_two(scene: Scene) -> None:
    scene.made["project"] = await new_project(scene.cast.owner)
    await join(scene)


async def join(scene: Scene) -> None:
    path = f"/v1/projects/{scene.made['project']}/members/{scene.cast.stranger.id}"
    ok(await scene.cast.admin.put(path, json={"role": "admin"}))


async def leave(scene: Scene) -> None:
    path = f"/v1/projects/{scene.made['project']}/members/{scene.cast.stranger.id}"
    ok(await scene.cast.owner.delete(path))


async def who_is_in(scene: Scene) -> Any:
    open_to = await Invitation.raw().count_documents({"invited": ObjectId(scene.cast.stranger.id)})
    return await members(scene.cast, scene.made["project"]), open_to


async def asked_in(scene: Scene) -> None:
    scene.made["project"] = await new_project(scene.cast.owner)
    ok(await invite(scene.cast.owner, scene.made["project"], scene.cast.stranger.id))


async def decline(scene: Scene) -> None:
    ok(await scene.cast.stranger.delete(f"/v1/users/me/invitations/{scene.made['project']}"))


async def who_is_asked(scene: Scene) -> Any:
    return await invited(scene.cast.owner, scene.made["project"])


async def endpoint(scene: Scene) -> None:
    await patched(scene, account_path(scene), webhookUrl="http://127.0.0.1:9/hook")


async def rotate_secret(scene: Scene) -> None:
    ok(await scene.cast.admin.post(f"{account_path(scene)}/webhook-secret", json={}))


async def bank(scene: Scene) -> None:
    path = f"{owner_path(scene)}/connections"
    scene.made["bank"] = ok(await scene.cast.owner.post(path, json=CONNECTION))["id"]


async def repository(scene: Scene) -> None:
    scene.made["project"] = await new_project(scene.cast.owner)
    row = {"_id": PydanticObjectId(), "projectId": PydanticObjectId(scene.made["project"])}
    ring = scene.api.app.state.keyring
    secrets: dict[str, Any] = {
        name: ring.seal(SecretStr(name), RepositoryConnection.place_in(row, name))
        for name in ("access_token", "webhook_secret")
    }
    made = RepositoryConnection(
        id=row["_id"],
        project_id=row["projectId"],
        repository_url="https://github.com/acme/taken",
        service_type="GitHub",
        connected_at=now(),
        webhook_stale=False,
        **secrets,
    )
    await transaction(made.add)
    scene.made["repository"] = row["_id"]


async def in_an_account(scene: Scene) -> None:
    await patched(scene, owner_path(scene), accountId=scene.programme.account)


GRANTS = {"roles": ["user", "editor"], "permissions": ["x:read", "x:write"], "role": "brand"}
FEWER = {"roles": ["user"], "permissions": ["x:read"], "role": None}

CASES: dict[str, Case] = {
    "access": Case(
        bank,
        lambda scene: patched(
            scene, f"/v1/connections/{scene.made['bank']}", status="disconnected"
        ),
        of(
            Connection,
            lambda scene: ObjectId(scene.made["bank"]),
            "accessToken", "status", "nextAttemptAt",
        ),
    ),
    "account": Case(
        nothing,
        patching(account_path, status="paused"),
        of(Account, account_id, "status"),
        patching(account_path, status="active"),
    ),
    "card": Case(
        nothing,
        lambda scene: patched(scene, scene.programme.card_path, status="closed"),
        of(Card, lambda scene: ObjectId(scene.programme.card), "status"),
    ),
    "endpoint": Case(
        endpoint,
        patching(account_path, webhookUrl=None),
        of(Account, account_id, "webhookUrl"),
        endpoint,
    ),
    "grants": Case(
        patching(owner_path, **GRANTS),
        patching(owner_path, **FEWER),
        of(User, owner_id, *GRANTS),
        patching(owner_path, **GRANTS),
    ),
    "identity": Case(two_ways_in, unlink, ways_in),
    "inactive": Case(
        nothing,
        patching(owner_path, status="inactive"),
        of(User, owner_id, "status"),
        patching(owner_path, status="active"),
    ),
    "invitation": Case(asked_in, decline, who_is_asked),
    "member": Case(project_of_two, leave, who_is_in, join),
    "repository": Case(
        repository,
        lambda scene: patched(
            scene, f"/v1/projects/{scene.made['project']}/repository", isActive=False
        ),
        of(RepositoryConnection, lambda scene: scene.made["repository"], "isActive"),
    ),
    "secret": Case(
        nothing, rotate_secret, of(Account, account_id, "webhookRotation"), rotate_secret
    ),
    "user": Case(
        in_an_account,
        patching(owner_path, accountId=None),
        of(User, owner_id, "accountId"),
        in_an_account,
    ),
}  # fmt: skip
