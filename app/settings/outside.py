"""The settings of what leaves the process: webhooks, banks, Git hosts, and the key ring that seals
their tokens."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


class OutsideSettings(BaseSettings):
    """Part of `app.settings.Settings`."""

    webhook_key_file: Path | None = Field(
        default=None,
        description=(
            "File of at least 32 random bytes from which the secrets of accounts' webhooks are"
            " derived. Unset: one is made in the data folder, development only."
        ),
    )
    webhook_timeout_seconds: float = Field(
        default=10.0,
        gt=0,
        le=20,
        description="Longest that an account's webhook may take to answer.",
    )
    webhook_max_attempts: int = Field(
        default=12,
        ge=1,
        description=(
            "A card event that failed this often is given up (`GET /v1/admin/card-events`)."
        ),
    )
    webhook_retry_seconds: float = Field(
        default=5.0,
        ge=0,
        description="Wait after the first failure of a webhook; doubled by each further one.",
    )
    webhook_concurrency: int = Field(
        default=16, ge=1, le=256, description="Cards whose events a worker delivers at once."
    )
    keyring_file: Path | None = Field(
        default=None,
        description=(
            "File of the key ring that seals tokens and webhook secrets (`python -m scripts"
            " keyring`). Unset: one is made in the data folder, development only."
        ),
    )
    keyring: SecretStr | None = Field(
        default=None,
        description=(
            "The key ring itself, as such a file holds it; goes before SATCHEL_KEYRING_FILE."
        ),
    )
    outgoing_timeout_seconds: float = Field(
        default=15.0,
        gt=0,
        le=120,
        description="Longest that one request to an outside system may take.",
    )
    outgoing_private_hosts: list[str] = Field(
        default_factory=list,
        description=(
            "JSON list of outside hosts that may have private addresses; in production others may"
            " not."
        ),
    )
    bank_sandbox: bool | None = Field(
        default=None,
        description=(
            "Offer the provider `sandbox`, invented banks for demonstrations. Unset: in development"
            " only."
        ),
    )
    teller_url: str = Field(default="https://api.teller.io", description="Teller's API.")
    teller_certificate_file: Path | None = Field(
        default=None,
        description="PEM file of the client certificate that Teller issued; needed for live banks.",
    )
    teller_key_file: Path | None = Field(
        default=None, description="PEM file of that certificate's private key."
    )
    teller_webhook_secrets: list[SecretStr] = Field(
        default_factory=list,
        description=(
            "JSON list of the secrets that Teller signs webhooks with; several while one is being"
            " replaced."
        ),
    )
    sync_every_seconds: int = Field(
        default=6 * 3600,
        ge=60,
        description="A bank connection is synced again this long after a success.",
    )
    sync_inline_seconds: float = Field(
        default=10.0,
        ge=0,
        description="A sync by hand runs for this long before the worker goes on with it.",
    )
    sync_window_days: int = Field(
        default=10,
        ge=1,
        description="A sync reads again this many days before the last one, for what has moved.",
    )
    sync_full_days: int = Field(
        default=7, ge=1, description="A sync reads everything when this long has passed."
    )
    repository_hosts: list[str] = Field(
        default_factory=list,
        description=(
            "JSON list of self-hosted Git hosts, such as `GitLab=git.example.com`; of the kinds"
            " that one can have oneself."
        ),
    )
    repository_check_seconds: int = Field(
        default=900,
        ge=10,
        description="The health of a repository connection is looked at this often.",
    )
    webhook_overlap_seconds: int = Field(
        default=24 * 3600,
        ge=0,
        description="A webhook secret that was replaced is accepted for this long.",
    )
    large_deliveries_mib: int = Field(
        default=64,
        ge=25,
        description=(
            "Memory per process for webhook deliveries of more than 1 MiB while they arrive and are"
            " cut."
        ),
    )
