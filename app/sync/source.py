"""Whose data of which app a request of sync is about, and which keys of it."""

from typing import Final

from app.errors import Invalid
from app.identity.principal import authorize
from app.web.hot import HotRequest, resolve
from models.app import NAME_RULE, is_name
from models.app_data_changes import Source

LONGEST_PREFIX: Final = 256


async def source_of(request: HotRequest) -> Source:
    """What the path and the prefix name, with the caller let pass.

    Raises:
        Invalid: the app or the prefix is malformed.
        NotFound: it is not the caller's.
    """
    principal = await request.caller()
    user_id, app_id = resolve(request, principal), request.path["appId"]
    if not is_name(app_id):
        raise Invalid.field("path:appId", "malformed", f"appId has {NAME_RULE}")
    authorize(principal, request.needs, user_id=user_id, app_id=app_id)
    prefix = request.query().get("prefix", "")
    if len(prefix) > LONGEST_PREFIX:
        raise Invalid.field(
            "?prefix", "too_long", f"a prefix has at most {LONGEST_PREFIX} characters"
        )
    return Source(user_id, app_id, prefix)
