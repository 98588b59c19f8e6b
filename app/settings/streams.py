"""The settings of streams of live events."""

from pydantic import Field
from pydantic_settings import BaseSettings


class StreamSettings(BaseSettings):
    """Part of `app.settings.Settings`."""

    event_streams: int = Field(
        default=5000,
        ge=1,
        description=(
            "Streams of live events open at once per process; more are answered 503 with"
            " Retry-After. As many polls of changes may wait."
        ),
    )
    event_streams_per_user: int = Field(
        default=20,
        ge=1,
        description=(
            "Streams of live events of one user open at once per process; more are answered 429."
            " As many polls of changes may wait."
        ),
    )
    event_stream_seconds: float = Field(
        default=900.0,
        gt=0,
        description="A stream of live events is ended after this long; the client comes again.",
    )
