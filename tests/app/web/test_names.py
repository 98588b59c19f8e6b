"""Bodies have camelCase names only, the same field by another spelling is unknown."""

from typing import Any

import pytest
from pydantic import BaseModel

from app.main import create_app
from app.settings import Settings
from models.base import Fields, Stored
from tests.cast import Cast
from tests.factories.operations import all_paths

SNAKES: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/users", {"valu_user_id": "x"}, "/valu_user_id"),
    ("PUT", "/v1/users/me/profile", {"display_name": "x"}, "/display_name"),
    (
        "PUT",
        "/v1/users/me/preferences",
        {"notifications": {"in_app": True}},
        "/notifications/in_app",
    ),
    (
        "POST",
        "/v1/users/me/activity",
        {"appId": "a", "eventType": "e", "session_id": "s"},
        "/session_id",
    ),
    ("POST", "/v1/users/me/logins", {"app_id": "a"}, "/app_id"),
    ("POST", "/v1/users/me/sessions", {"app_id": "a"}, "/app_id"),
    ("POST", "/v1/api-keys", {"name": "k", "scopes": ["data:read"], "app_id": "a"}, "/app_id"),
    ("POST", f"/v1/api-keys/{'f' * 24}/rotate", {"overlap_hours": 1}, "/overlap_hours"),
    ("POST", "/v1/auth/otp", {"phone_number": "+14155550123"}, "/phone_number"),
    ("POST", "/v1/auth/otp/verify", {"challenge_id": "x", "code": "123456"}, "/challenge_id"),
    ("POST", "/v1/auth/oidc/google", {"id_token": "a.b.c", "device_info": "x"}, "/device_info"),
    ("POST", "/v1/auth/refresh", {"refresh_token": "rt_x"}, "/refresh_token"),
    ("POST", "/v1/auth/logout", {"refresh_token": "rt_x"}, "/refresh_token"),
    ("PUT", "/v1/apps/notes", {"require_version": True}, "/require_version"),
    (
        "POST",
        "/v1/analytics/events",
        {"appId": "a", "eventName": "e", "event_category": "custom"},
        "/event_category",
    ),
]
PATCHES = [
    ("/v1/users/me", {"valuUserId": None, "valu_user_id": "x"}, "/valu_user_id"),
    ("/v1/users/me/profile", {"displayName": None, "display_name": "x"}, "/display_name"),
    ("/v1/users/me/preferences", {"notifications": {"in_app": False}}, "/notifications/in_app"),
]


def _unknown(answer: Any) -> set[str]:
    assert answer.status_code == 422, answer.text
    return {error["pointer"] for error in answer.json()["errors"] if error["code"] == "unknown"}


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"), SNAKES, ids=[path for _, path, _, _ in SNAKES]
)
async def test_attribute_names_are_unknown_fields(
    cast: Cast, method: str, path: str, body: Any, pointer: str
) -> None:
    answer = await cast.admin.request(
        method, path.replace("me", cast.owner.id) if "/me/" in path else path, json=body
    )
    assert pointer in _unknown(answer)


@pytest.mark.parametrize(("path", "patch", "pointer"), PATCHES)
async def test_patches_cannot_name_attributes_either(
    cast: Cast, path: str, patch: Any, pointer: str
) -> None:
    for caller, where in ((cast.owner, path), (cast.admin, path.replace("me", cast.owner.id))):
        assert _unknown(await caller.merge(where, patch)) == {pointer}
    assert (await cast.owner.get(path)).json()["version"] == 1


def _subclasses(kind: type[BaseModel]) -> set[type[BaseModel]]:
    found = set(kind.__subclasses__())
    return found.union(*map(_subclasses, found))


def test_what_is_read_from_attributes_takes_their_names(base_settings: Settings) -> None:
    """And nothing else does: a body would take every field by two names."""
    assert all_paths(create_app(base_settings).routes)
    for kind in _subclasses(Fields):
        if kind.__module__.startswith(("app.", "models.")) and not issubclass(kind, Stored):
            by_name = kind.model_config.get("validate_by_name", False)
            assert by_name is kind.model_config.get("from_attributes", False), kind
