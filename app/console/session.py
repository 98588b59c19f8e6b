"""Who looks at the console: an API key that may read analytics, kept in a cookie that scripts
cannot see."""

from typing import Final
from urllib.parse import parse_qs, urlsplit

from fastapi import Request, Response

from app.errors import Forbidden, Unauthenticated
from app.identity.authenticator import authenticator
from app.identity.principal import Principal, authorize

COOKIE: Final = "satchel_console"
_LASTS: Final = 12 * 60 * 60
_LONGEST_FORM: Final = 8192


async def viewer(request: Request) -> Principal | None:
    """The caller whom the cookie names; None where there is none, or its key may not read (any
    more)."""
    key = request.cookies.get(COOKIE)
    if not key or request.app.state.database is None:
        return None
    try:
        return await known(request, key)
    except (Unauthenticated, Forbidden):
        return None


async def required_viewer(request: Request) -> Principal:
    """The same for what is no page of its own.

    Raises:
        Unauthenticated: nobody is signed in.
    """
    found = await viewer(request)
    if found is None:
        raise Unauthenticated("sign in at /console")
    return found


async def known(request: Request, key: str) -> Principal:
    """The principal of a key that may read analytics.

    Raises:
        Unauthenticated: there is no such key.
        Forbidden: it may not read analytics.
    """
    principal = await authenticator(request.scope).authenticate(f"Bearer {key}")
    if principal.kind != "key":
        raise Forbidden("the console needs an API key")
    authorize(principal, "analytics:read", app_id=principal.app_id)
    request.scope["satchel.caller"] = principal.name
    return principal


def refuse_other_sites(request: Request) -> None:
    """See that a form is posted from a page of ours; a client that is no browser says nothing of
    it.

    Browsers tell by `Sec-Fetch-Site` (Fetch Metadata), on plain HTTP only by `Origin`.

    Raises:
        Forbidden: it is posted from elsewhere.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    public = urlsplit(request.app.state.settings.url)
    ours = {f"{scheme}://{request.headers.get('host')}" for scheme in ("http", "https")}
    ours.add(f"{public.scheme}://{public.netloc}")
    foreign = (
        site not in ("same-origin", "none")
        if site is not None
        else origin is not None and origin not in ours
    )
    if foreign:
        raise Forbidden("this form is posted from another site")


async def form_field(request: Request, name: str) -> str | None:
    """A field of a posted form; empty where it is not there, None where the form is too large."""
    body = await request.body()
    if len(body) > _LONGEST_FORM:
        return None
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    except ValueError:
        return None
    return fields.get(name, [""])[0].strip()


def remember(response: Response, key: str, *, secure: bool) -> None:
    """Set the cookie: for the console alone, not for scripts, never sent from other sites."""
    response.set_cookie(
        COOKIE,
        key,
        max_age=_LASTS,
        path="/console",
        httponly=True,
        secure=secure,
        samesite="strict",
    )


def forget(response: Response) -> None:
    """Remove the cookie."""
    response.delete_cookie(COOKIE, path="/console", httponly=True, samesite="strict")
