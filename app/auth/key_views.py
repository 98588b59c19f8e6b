"""How API keys are sent."""

from app.users.views import View
from models.api_key import Scope
from models.app import AppId
from models.base import Timestamp


class ApiKeyView(View):
    """A key, without the key."""

    name: str
    scopes: list[Scope]
    app_id: AppId | None = None
    expires_at: Timestamp | None = None
    last_used_at: Timestamp | None = None
    previous_until: Timestamp | None = None


class IssuedKey(ApiKeyView):
    """A key, shown this once."""

    key: str
