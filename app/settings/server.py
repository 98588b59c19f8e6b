"""The settings of the server: where it listens, how it stops, and whose pages may call it."""

import re

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9A-Fa-f:.]+\]|[^/?#@\s:\[\]]+)(:[0-9]{1,5})?")


class ServerSettings(BaseSettings):
    """Part of `app.settings.Settings`."""

    host: str = Field(default="127.0.0.1", description="Address that the server listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port that the server listens on.")
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description=(
            "Server processes on the one port; limits on requests under way and pools are of each."
        ),
    )
    shutdown_delay_seconds: float = Field(
        default=0,
        ge=0,
        le=300,
        description=(
            "On a stop, `/readyz` answers 503 for so long before connections are taken no more:"
            " longer than the load balancer takes to notice."
        ),
    )
    shutdown_grace_seconds: int = Field(
        default=20, ge=1, description="On a stop, requests in flight get this long to finish."
    )
    cors_origins: list[str] = Field(
        default_factory=list,
        description="JSON list of browser origins that may call the API; `*` for any.",
    )
    write_key_origins: list[str] = Field(
        default=["*"],
        description=(
            "JSON list of further origins whose pages may send events with a write key, by the"
            " routes of Segment's and RudderStack's libraries alone; `*` for any."
        ),
    )
    public_url: str | None = Field(
        default=None,
        description=(
            "How the outside world reaches this server; in OpenAPI and in links. Unset: by host and"
            " port."
        ),
    )

    @field_validator("cors_origins", "write_key_origins")
    @classmethod
    def _origins_are_bare(cls, origins: list[str]) -> list[str]:
        if any(not _ORIGIN.fullmatch(origin) for origin in origins if origin != "*"):
            raise ValueError(
                "an origin is scheme://host or scheme://host:port, without a path or a slash at"
                " its end"
            )
        return origins

    @property
    def url(self) -> str:
        """How this server is reached, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")
