"""The settings of analytics: what is taken, how soon it is counted, how long it is kept."""

from pydantic import Field
from pydantic_settings import BaseSettings


class AnalyticsSettings(BaseSettings):
    """Part of `app.settings.Settings`."""

    write_key_events_per_second: int = Field(
        default=20_000,
        ge=1,
        description="Events a second that one process takes of a write key that has no own limit.",
    )
    write_key_events_per_day: int = Field(
        default=100_000_000,
        ge=1,
        description="Events a day (UTC) that are taken of a write key that has no own quota.",
    )
    quarantine_days: int = Field(
        default=14,
        ge=1,
        le=90,
        description="How long an event that was set aside can be looked at.",
    )
    analytics_most_joined_ids: int = Field(
        default=100,
        ge=2,
        description="So many ids are made one person; a join that would make it more is set aside.",
    )
    analytics_trail_seconds: float = Field(
        default=15.0,
        ge=0,
        description=(
            "Rollups stay this far behind, so that all that came in before is stored: over two"
            " request times."
        ),
    )
    analytics_retention_days: int = Field(
        default=400,
        ge=1,
        description="Raw events are archived after this many days, where an archive is set.",
    )
