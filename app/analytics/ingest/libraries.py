"""What browsers' libraries ask before they send: Segment's their settings, RudderStack's its
source.

Neither answer asks the database: a library that cannot load drops what its page told it, while one
    that has loaded
keeps events and sends them again. So a key is not looked up here; a wrong one is told by the first
event's 401.
"""

import re
from typing import Any, Final

from app.errors import NotFound
from app.identity.access import PUBLIC
from app.settings import Settings
from app.web.hot import ANY_QUERY, Answer, HotEndpoint, HotRequest, json_answer

SETTINGS_PATH: Final = "/v1/projects/{writeKey}/settings"
SOURCE_PATH: Final = "/sourceConfig"
METRICS_PATH: Final = "/v1/m"
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


def library_endpoints() -> list[HotEndpoint]:
    """The endpoints, for pages of every origin; each library adds parameters of its own."""
    return [
        HotEndpoint(SETTINGS_PATH, {"GET": _settings}, {"GET": PUBLIC}, ANY_QUERY, any_origin=True),
        HotEndpoint(
            SOURCE_PATH,
            {"GET": _source},
            {"GET": PUBLIC},
            ANY_QUERY,
            aliases=[f"{SOURCE_PATH}/"],
            any_origin=True,
        ),
        HotEndpoint(METRICS_PATH, {"POST": _metrics}, {"POST": PUBLIC}, ANY_QUERY, any_origin=True),
    ]


async def _settings(request: HotRequest) -> Answer:
    """Settings of `@segment/analytics-next`: where to send events, no destinations, no figures
    about itself."""
    write_key = request.path["writeKey"]
    if not _KEY.fullmatch(write_key):
        raise NotFound("there is no such write key")
    protocol, _, host = _own_url(request).partition("://")
    return json_answer(200, settings_of(write_key, protocol, host))


def settings_of(write_key: str, protocol: str, host: str) -> dict[str, Any]:
    """The settings of a library that was given this key and is to send to this host."""
    segment = {"apiKey": write_key, "apiHost": f"{host}/v1", "protocol": protocol}
    return {
        "integrations": {"Segment.io": segment},
        "plan": {},
        "metrics": {"sampleRate": 0},
        "remotePlugins": [],
        "legacyVideoPluginsEnabled": False,
    }


async def _source(_: HotRequest) -> Answer:
    return json_answer(200, SOURCE)


SOURCE: Final[dict[str, Any]] = {
    "source": {
        "id": "satchel",
        "name": "Satchel",
        "workspaceId": "satchel",
        "enabled": True,
        "config": {
            "statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}
        },
        "destinations": [],
    }
}
"""The source of `@rudderstack/analytics-js`: no destinations, no figures about itself."""


async def _metrics(_: HotRequest) -> Answer:
    """Figures of `@segment/analytics-next` about itself, which nobody here asks for."""
    return json_answer(200, {"success": True})


def _own_url(request: HotRequest) -> str:
    """How the page reaches this server: by the public address, or else as it just did."""
    settings: Settings = request.scope["app"].state.settings
    host = request.header(b"host")
    if settings.public_url is not None or not host:
        return settings.url
    return f"{request.scope['scheme']}://{host}"
