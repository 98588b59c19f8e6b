"""People whom a server of the app's own signs in: their tokens have nothing to renew them by, so
that server is asked for others."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from satchel_client import SignedOut, Unreachable

from tests.clients.desk import token_for
from tests.clients.devices import AsyncDevice, Device
from tests.serving import Served

OVER = {"accessToken": "over.over.over"}


class Waiting(Device):
    """What the app's own server answers is set by the test."""

    answer: Callable[[], Any] = staticmethod(lambda: None)
    asked = 0

    def renew(self) -> Any:
        self.asked += 1
        return self.answer()


class Awaiting(AsyncDevice):
    answer: Callable[[], Any] = staticmethod(lambda: None)
    asked = 0

    async def renew(self) -> Any:
        self.asked += 1
        return self.answer()


both = pytest.mark.parametrize("kind", [Waiting, Awaiting], ids=["waits", "awaits"])


@both
async def test_another_token_is_asked_for_when_one_is_over(
    satchel: Served, kind: type[Any]
) -> None:
    email = f"{uuid4().hex}@example.com"
    satchel.post("/v1/users", {"email": email})
    device = kind(satchel, None)
    device.answer = lambda: token_for(satchel, email)
    device.session.use({**token_for(satchel, email), **OVER})
    device.open()
    device.store.put("n1", 1)
    await device.done(device.store.flush())
    assert (device.store.pending, device.asked >= 1) == (0, True)
    await device.close()


@both
async def test_a_server_of_its_own_that_fails_ends_no_session_and_one_that_has_none_does(
    satchel: Served, kind: type[Any]
) -> None:
    email = f"{uuid4().hex}@example.com"
    satchel.post("/v1/users", {"email": email})
    device = kind(satchel, None)
    device.answer = lambda: {}["down"]
    token = {**token_for(satchel, email), **OVER}
    device.session.use(token)
    device.open()
    device.store.put("n1", 1)
    with pytest.raises(Unreachable):
        await device.done(device.store.flush())
    assert device.session.user_id == token["userId"]
    device.answer = lambda: None
    with pytest.raises(SignedOut):
        await device.done(device.store.flush())
    assert (device.session.user_id, device.store.pending) == (None, 1)
    await device.close()


@both
async def test_the_session_of_a_person_who_is_gone_is_over_at_once(
    satchel: Served, kind: type[Any]
) -> None:
    """Their token is good for minutes more, and all it gets is that nobody is there."""
    email = f"{uuid4().hex}@example.com"
    satchel.post("/v1/users", {"email": email})
    device = kind(satchel, None)
    await device.sign_in(email)
    (user,) = satchel.get("/v1/users", email=email)["items"]
    await device.done(device.store.flush())
    gone = httpx2.delete(f"{satchel.url}/v1/users/{user['id']}", headers=satchel.headers)
    assert gone.is_success
    with pytest.raises(SignedOut):
        await device.done(device.store.flush())
    assert device.session.user_id is None
    await device.close()
