"""Users who are signed in."""

import time
from datetime import timedelta

import pytest
from bson import ObjectId

from models import RefreshToken
from models.base import now
from tests.cast import Cast
from tests.harness import Api, Caller


async def signed_in(api: Api, cast: Cast) -> Caller:
    """A person with a session of theirs, whose token says of no grant."""
    user_id = ObjectId((await cast.admin.post("/v1/users", json={})).json()["id"])
    until = now() + timedelta(days=1)
    session = await RefreshToken(
        user_id=user_id,
        token_hash=str(user_id),
        auth_method="google",
        ends_at=until,
        expires_at=until,
    ).add()
    tokens = api.app.state.authenticator.tokens
    token, _ = tokens.mint(user_id, issued_at=time.time(), session_id=session.id)
    return api.caller(token, str(user_id))


GRANTS = pytest.mark.parametrize(
    "grant", [{"role": "admin"}, {"roles": ["user", "admin"]}], ids=["role", "roles"]
)

REFUSED = "only an admin changes or deletes an admin"
