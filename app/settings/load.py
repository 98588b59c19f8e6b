"""The settings of how much is done at once: connections to the database, and requests in line."""

from ipaddress import ip_network

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings


class LoadSettings(BaseSettings):
    """Part of `app.settings.Settings`."""

    trusted_proxies: list[str] = Field(
        default=["127.0.0.1", "::1"],
        description=(
            "JSON list of addresses and networks of the proxies whose `X-Forwarded-For` is taken"
            " for a client's address, which limits go by; `*` for whoever reaches the server."
        ),
    )
    pool_max_size: int = Field(
        default=10, ge=1, description="Most connections to MongoDB per process."
    )
    pool_min_size: int = Field(
        default=2,
        ge=0,
        description="Connections to MongoDB kept open per server; a worker keeps what it uses.",
    )
    pool_max_idle_seconds: int = Field(
        default=20, ge=1, description="An idle connection to MongoDB is closed after this long."
    )
    connect_timeout_seconds: int = Field(
        default=10, ge=1, description="Longest wait for a new connection to MongoDB."
    )
    max_in_flight: int = Field(
        default=100,
        ge=1,
        description="Requests worked on at once per process; more wait in line for a place.",
    )
    export_spool_mb: int = Field(
        default=32,
        ge=0,
        description=(
            "Megabytes, compressed, of a temporary file (in `TMPDIR`) in which each export that is"
            " read slowly waits; there are eight at most."
        ),
    )
    max_waiting: int = Field(
        default=3000,
        ge=0,
        description="Requests in line per process; more are answered 503 with Retry-After.",
    )
    max_waiting_mib: int = Field(
        default=48,
        ge=0,
        description=(
            "Memory of the line in MiB, 16 KiB for each request and up to 64 for its body; more are"
            " refused."
        ),
    )
    wait_seconds: float = Field(
        default=2.5,
        gt=0,
        description="Longest wait in line; then a request is answered 503 with Retry-After.",
    )
    max_bodies_under_way: int = Field(
        default=1000,
        ge=1,
        description=(
            "Bodies that may be arriving at once per process; more are answered 503 with"
            " Retry-After."
        ),
    )
    body_seconds: float = Field(
        default=10.0,
        gt=0,
        description="Longest that a request's body may take to arrive; then it is answered 408.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, proxies: list[str]) -> list[str]:
        for each in proxies:
            if each != "*":
                try:
                    ip_network(each)
                except ValueError:
                    raise ValueError("lists addresses and networks, or `*`") from None
        return proxies
