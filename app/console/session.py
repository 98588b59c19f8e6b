"""Who looks at the console: an API key, or a person who is an admin; in cookies that scripts cannot
see."""

from contextlib import suppress
from typing import Any, Final

from fastapi import Request, Response

from app.console.frame.calls import Api, Refused
from app.errors import Forbidden, Unauthenticated
from app.identity.authenticator import authenticator
from app.identity.caller import live
from app.identity.principal import Principal

COOKIE: Final = "satchel_console"
"""An API key, or a person's access token."""
RENEWAL: Final = "satchel_console_renewal"
"""A person's refresh token."""
_LASTS: Final = 12 * 60 * 60
_CREDENTIAL: Final = "satchel.console.credential"
_RENEWED: Final = "satchel.console.renewed"


async def viewer(request: Request) -> Principal | None:
    """The caller whom the cookies name; None where there is none, or they may not look (any
    more).

    A person's access token that is over is renewed by their refresh token, `keep` then sets the
    cookies. Requests that do so at the same time all get the same successor.
    """
    if request.app.state.database is None:
        return None
    try:
        return await known(request, request.cookies.get(COOKIE, ""))
    except Forbidden:
        return None
    except Unauthenticated:
        return await _renewed(request)


async def required_viewer(request: Request) -> Principal:
    """The same for what is no page of its own.

    Raises:
        Unauthenticated: nobody is signed in.
    """
    found = await viewer(request)
    if found is None:
        raise Unauthenticated("sign in at /console")
    return found


async def known(request: Request, credential: str) -> Principal:
    """The principal of a key, or of a person's access token.

    Raises:
        Unauthenticated: there is no such key, the token is over, or its session has ended.
        Forbidden: the person is no admin.
    """
    if not credential:
        raise Unauthenticated
    principal = await authenticator(request.scope).authenticate(f"Bearer {credential}")
    if principal.kind == "user":
        principal = await live(principal)
        if not principal.is_admin or principal.session_id is None:
            raise Forbidden("the console is for admins")
    request.scope[_CREDENTIAL] = credential
    request.scope["satchel.caller"] = principal.name
    return principal


async def _renewed(request: Request) -> Principal | None:
    token = request.cookies.get(RENEWAL)
    if not token:
        return None
    try:
        answer = await Api(request, None).send("POST", "/v1/auth/refresh", {"refreshToken": token})
        found = await known(request, answer.value["accessToken"])
    except (Refused, Unauthenticated, Forbidden):
        return None
    request.scope[_RENEWED] = answer.value
    return found


def credential_of(request: Request) -> str | None:
    """What `viewer` has found whoever is signed in by."""
    found: str | None = request.scope.get(_CREDENTIAL)
    return found


def keep(request: Request, response: Response) -> None:
    """Set the cookies of a person whose token was renewed."""
    pair: dict[str, Any] | None = request.scope.get(_RENEWED)
    if pair is not None:
        remember_person(request, response, pair)


def remember(request: Request, response: Response, credential: str, name: str = COOKIE) -> None:
    """Set a cookie: for the console alone, not for scripts, never sent from other sites."""
    response.set_cookie(
        name,
        credential,
        max_age=_LASTS,
        path="/console",
        httponly=True,
        secure=request.url.scheme == "https",
        samesite="strict",
    )


def remember_person(request: Request, response: Response, pair: dict[str, Any]) -> None:
    """Set the cookies of a person's tokens."""
    remember(request, response, pair["accessToken"])
    remember(request, response, pair["refreshToken"], RENEWAL)


async def forget(request: Request, response: Response) -> None:
    """Remove the cookies, and end a person's session."""
    if token := request.cookies.get(RENEWAL):
        with suppress(Refused):  # it had ended
            await Api(request, None).send("POST", "/v1/auth/logout", {"refreshToken": token})
        response.delete_cookie(RENEWAL, path="/console", httponly=True, samesite="strict")
    response.delete_cookie(COOKIE, path="/console", httponly=True, samesite="strict")
