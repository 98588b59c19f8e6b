"""How client apps are sent."""

from pydantic import ConfigDict

from app.web.read_only import ReadOnly
from models.app import AppContent, AppId
from models.base import Timestamp


class AppView(AppContent):
    """A registered app; `id` is the `appId` that its data carries."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, extra="ignore")

    id: AppId
    version: int
    created_at: Timestamp
    updated_at: Timestamp


class AppReplacement(AppContent, ReadOnly):
    """An app's settings as they are put; what is read-only may be left out, or be as it was
    shown."""
