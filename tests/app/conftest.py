"""What tests of rights that are taken away meanwhile have in common: somebody, what is theirs, and
hosts that are not asked."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.repositories import connect
from models import AuthIdentity, Invitation, PhoneOtp, RefreshToken
from models.base import now
from models.repository_connection import RepositoryConnection
from models.webhook_event import WebhookEvent
from tests.cast import Cast
from tests.factories.changing import CONNECTION, REPOSITORY, made
from tests.factories.grants import signed_in
from tests.harness import Api, Caller


@pytest.fixture
def no_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither Git hosts nor codes are asked: it is about what comes after."""

    async def found(_: Any, repository: Any, *__: Any) -> connect.Place:
        return connect.Place(repository, None)

    async def same(connection: Any, *_: Any) -> Any:
        return connection

    async def challenge(*_: Any) -> PhoneOtp:
        fields = {
            "recipient": "new@example.com",
            "purpose": "link",
            "codeHash": "x",
            "expiresAt": now(),
        }
        return PhoneOtp.model_construct(**fields, id="x", phone_number="+14155550124")

    monkeypatch.setattr("app.repositories.connect.probe", found)
    monkeypatch.setattr("app.repositories.connect.register", same)
    monkeypatch.setattr("app.auth.identity_routes._checked", challenge)


@pytest.fixture
async def person(cast: Cast, api: Api) -> Caller:
    return await signed_in(api, cast)


@pytest.fixture
async def places(cast: Cast, person: Caller) -> dict[str, str]:
    """What is the person's: a project with a member and a repository, a connection, identities, an
    invitation."""
    user_id: Any = ObjectId(person.id)
    project = await made(person, "/v1/projects", {"name": "Notes"})
    path = f"/v1/projects/{project}"
    assert (
        await cast.admin.put(f"{path}/members/{cast.owner.id}", json={"role": "member"})
    ).status_code == 201
    assert (await person.put(f"{path}/repository", json=REPOSITORY)).status_code == 201
    repository = await RepositoryConnection.raw().find_one({})
    assert repository is not None
    event = {"connectionId": repository["_id"], "deliveryId": "1", "event": "push", "payload": {}}
    told = await WebhookEvent.model_validate(
        {**event, "status": "failed", "receivedAt": now()}
    ).add()
    identities = [
        await AuthIdentity(user_id=user_id, provider=each, provider_id=each).add()
        for each in ("g", "f")
    ]
    theirs = ObjectId(await made(cast.owner, "/v1/projects", {"name": "Theirs"}))
    await Invitation.offer(
        theirs, user_id, user_id, "admin", now() + timedelta(days=1), session=None
    )
    until = now() + timedelta(days=1)
    device = RefreshToken(
        user_id=user_id, token_hash="h", auth_method="google", ends_at=until, expires_at=until
    )
    guest = (await cast.nobody.post("/v1/auth/guests")).json()
    return {
        "guestToken": guest["refreshToken"],
        "projectId": project,
        "theirs": str(theirs),
        "userId": cast.owner.id,
        "eventId": str(told.id),
        "connectionId": await made(person, "/v1/users/me/connections", CONNECTION),
        "identityId": str(identities[0].id),
        "sessionId": str((await device.add()).id),
    }
