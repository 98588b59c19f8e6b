"""A person's sessions and the ways in which they sign in."""

from fastapi import Response

from app.auth.oversight import end_session_of, end_sessions_of, identities_of, sessions_of
from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values
from app.errors import NotFound
from models.base import parse_id

PATH = "/console/people/{userId}/sessions"
page = Page(__name__, "Sessions", "/console/people", group="People", scope="admin", listed=False)


@page.get(PATH)
async def sessions(desk: Desk) -> Values:
    """Both, for admins."""
    desk.require_admin()
    user = await desk.api.get(path_of("/v1/users/{}", desk["userId"]))
    user_id = parse_id(user["id"])
    if user_id is None:
        raise NotFound("there is no such user")
    return {
        "user": user,
        "minutes": -(-desk.request.app.state.settings.token_lifetime_seconds // 60),
        "sessions": await sessions_of(user_id),
        "identities": await identities_of(user_id),
    }


@page.post(PATH + "/end")
async def end(desk: Desk) -> Response:
    """End one session, or all where none is named."""
    desk.require_admin()
    user_id = parse_id(desk["userId"])
    if user_id is None:
        raise NotFound("there is no such user")
    back = path_of("/console/people/{}/sessions", desk["userId"])
    if desk.form["session"]:
        await end_session_of(user_id, parse_id(desk.form["session"]), desk.principal.name)
        return desk.done(back, "The session is ended.")
    ended = await end_sessions_of(user_id, desk.principal.name)
    return desk.done(back, f"Sessions ended: {ended}.")
