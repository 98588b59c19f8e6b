"""What is known of the client apps, remembered for a few seconds: every write of app data asks for
it."""

import time
from typing import Any, Final

from cachetools import LRUCache

from app.errors import AppNotRegistered
from app.settings import Settings
from models.app import App, AppContent

_CACHED: Final = 10_000
_UNREGISTERED: Final = AppContent()


class AppRegistry:
    """App settings by app id, those of unregistered apps among them."""

    def __init__(self, settings: Settings) -> None:
        self._remember_for = settings.credential_cache_seconds
        self._registered_only = settings.registered_apps_only
        self._known: LRUCache[str, tuple[App | None, float]] = LRUCache(_CACHED)

    async def settings_of(self, app_id: str) -> AppContent:
        """The app's settings, the defaults where it is not registered.

        Raises:
            AppNotRegistered: this deployment demands registration, and there is none.
        """
        known = self._known.get(app_id)
        if known is None or known[1] <= time.monotonic():
            known = await self._read(app_id)
        if known[0] is None and self._registered_only:
            raise AppNotRegistered(f"register the app by PUT /v1/apps/{app_id}")
        return known[0] or _UNREGISTERED

    def forget(self, app_id: str) -> None:
        """Read the app again when it is next asked for."""
        self._known.pop(app_id, None)

    async def _read(self, app_id: str) -> tuple[App | None, float]:
        until = time.monotonic() + self._remember_for
        app = await App.find_by_id(app_id)
        self._known[app_id] = (app, until)
        return app, until


def app_registry(scope: Any) -> AppRegistry:
    """The registry of the process that serves this request."""
    found: AppRegistry = scope["app"].state.apps
    return found
