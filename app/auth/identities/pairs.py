"""The tokens of a session, as they are answered."""

from typing import Final

from bson import ObjectId
from fastapi import Request, Response

from app.auth.context import sign_in_of
from app.auth.schemas import TokenPair
from app.identity.authenticator import authenticator
from models.clock import CLOCK
from models.refresh_token import RefreshToken
from models.user import User

_PRIVATE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def pair_of(
    session: RefreshToken, token: str, user: User, request: Request, response: Response
) -> TokenPair:
    """Both tokens; the access token says the roles that the user has now."""
    response.headers.update(_PRIVATE)
    access, lifetime = authenticator(request.scope).tokens.mint(
        session.user_id,
        issued_at=CLOCK.time(),
        app_id=session.app_id,
        roles=user.token_roles,
        session_id=session.id,
    )
    return TokenPair(
        access_token=access,
        refresh_token=token,
        device_token=sign_in_of(request.scope).devices.issue(session.user_id, ObjectId(session.id)),
        expires_in=lifetime,
        session_id=str(session.id),
        user_id=str(session.user_id),
    )
