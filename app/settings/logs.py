"""The settings of what is logged, and of spans."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class LogSettings(BaseSettings):
    """Part of `app.settings.Settings`."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    log_requests: bool = Field(default=True, description="Write one structured line per request.")
    log_format: Literal["json", "console"] = Field(
        default="json", description="`json` lines, or `console` for people."
    )
    log_clients: Literal["none", "network", "address"] = Field(
        default="network",
        description=(
            "What a request's line says of where it came from: nothing, the network (/24 of IPv4,"
            " /48 of IPv6), or the whole address, which is personal data."
        ),
    )
    trace_database: bool = Field(
        default=False,
        description=(
            "Make an OpenTelemetry span of each command to MongoDB within a traced request or job:"
            " its name and collection, never its values."
        ),
    )
