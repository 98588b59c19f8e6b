"""What tests of rights that are taken away meanwhile have in common: somebody, what is theirs, and
hosts that are not asked."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.repositories import connect
from models import AuthIdentity, Invitation, PhoneOtp
from models.base import now
from tests.cast import Cast
from tests.factories.changing import CONNECTION, REPOSITORY, made
from tests.factories.grants import signed_in
from tests.factories.operations import LASTING
from tests.factories.parameters import owned
from tests.factories.scenes import Scene
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
async def places(cast: Cast, api: Api, person: Caller) -> dict[str, str]:
    """What is the person's: a project with a member and a repository, a connection, identities, an
    invitation."""
    user_id: Any = ObjectId(person.id)
    scene = Scene(api, cast, whose=person, connection=CONNECTION, repository=REPOSITORY)
    own = await owned(scene, [name.split(" ")[1] for name in LASTING])
    member = f"/v1/projects/{own['projectId']}/members/{cast.owner.id}"
    assert (await cast.admin.put(member, json={"role": "member"})).status_code == 201
    await AuthIdentity(user_id=user_id, provider="f", provider_id="f").add()
    theirs = ObjectId(await made(cast.owner, "/v1/projects", {"name": "Theirs"}))
    await Invitation.offer(
        theirs, user_id, user_id, "admin", now() + timedelta(days=1), session=None
    )
    guest = (await cast.nobody.post("/v1/auth/guests")).json()
    return {
        **own,
        "guestToken": guest["refreshToken"],
        "theirs": str(theirs),
        "userId": cast.owner.id,
    }
