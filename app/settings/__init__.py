"""Every setting of a Satchel, read from `SATCHEL_*` variables or `.env`, and nothing read anywhere
else."""

import json
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from app.settings.analytics import AnalyticsSettings
from app.settings.archive import ArchiveSettings
from app.settings.connection_string import FORM, is_sound
from app.settings.deletion import DeletionSettings
from app.settings.faults import (
    SettingsError,
    example,
    faults_of,
    is_composite,
    unknown_variables,
    variable,
)
from app.settings.git_hosts import GitHostSettings
from app.settings.load import LoadSettings
from app.settings.logs import LogSettings
from app.settings.outside import OutsideSettings
from app.settings.server import ServerSettings
from app.settings.sign_in import SignInSettings
from app.settings.streams import StreamSettings

DEVELOPMENT_WEBHOOK_KEY = "webhook-key"
DEVELOPMENT_TOKEN_KEY = "token-key.pem"  # noqa: S105  # a file name
DEVELOPMENT_KEYRING = "keyring.json"
DEVELOPMENT_SECRET_KEY = "secret-key"  # noqa: S105  # a file name
_PROVIDER = re.compile(r"[a-z0-9_-]{1,32}")
_KIND = re.compile(r"[A-Za-z]+")
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_PRODUCTION_NEEDS = (
    "mongodb_uri",
    "token_key_file",
    "secret_key_file",
    "webhook_key_file",
    "sender_url",
    "sender_secret",
)


class Settings(
    ServerSettings,
    SignInSettings,
    AnalyticsSettings,
    ArchiveSettings,
    DeletionSettings,
    StreamSettings,
    LoadSettings,
    LogSettings,
    OutsideSettings,
    GitHostSettings,
):
    """One deployment's configuration. No secret has a default; production refuses to start without
    its secrets."""

    model_config = SettingsConfigDict(
        env_prefix="SATCHEL_",
        env_file=".env",
        extra="allow",
        frozen=True,
        enable_decoding=False,
        hide_input_in_errors=True,
    )

    environment: Literal["development", "production"] = Field(
        default="development",
        description="`production` refuses embedded databases and generated keys.",
    )
    data_dir: Path = Field(
        default=Path(".satchel"),
        description="Folder of the admin key, the generated token key and the embedded database.",
    )

    mongodb_uri: SecretStr | None = Field(
        default=None,
        description=(
            "MongoDB connection string of a replica set. Unset: an embedded one, development only."
        ),
    )
    mongod: Path | None = Field(
        default=None,
        description=(
            "Path of the `mongod` to embed. Unset: `mongod` on PATH, else the one from the Python"
            " wheel."
        ),
    )
    database: str = Field(
        default="satchel",
        pattern=r"^[A-Za-z0-9_-]{1,38}$",
        description="Name of the database that holds every collection.",
    )
    request_timeout_ms: int = Field(
        default=5000,
        ge=100,
        description="Longest that the database work of one operation of a request may take.",
    )
    lean_indexes: bool = Field(
        default=False,
        description="Do without the indexes that no operation needs (`indexes apply --lean`).",
    )
    worker_metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description=(
            "Port at which a worker answers `/metrics`, at the address `host`. Unset: none."
        ),
    )
    worker_poll_seconds: float = Field(
        default=1.0,
        gt=0,
        description=(
            "How soon a worker looks for work by itself while it cannot watch for changes; then"
            " less often."
        ),
    )
    idempotency_hours: int = Field(
        default=24, ge=1, description="How long an Idempotency-Key is remembered."
    )

    token_issuer: str = Field(default="satchel", description="`iss` of access tokens.")
    token_audience: str = Field(default="satchel", description="`aud` of access tokens.")
    token_lifetime_seconds: int = Field(
        default=600, ge=30, le=3600, description="Life of an access token."
    )
    token_key_file: Path | None = Field(
        default=None,
        description=(
            "PEM file of the Ed25519 private keys that sign and verify access tokens, the signing"
            " one last. Unset: one is made in the data folder, development only."
        ),
    )
    credential_cache_seconds: float = Field(
        default=5.0,
        ge=0,
        le=60,
        description="A revoked API key, or a changed app setting, may be honoured for this long.",
    )
    require_registered_apps: bool | None = Field(
        default=None,
        description="Refuse app ids without `PUT /v1/apps/{appId}`. Unset: in production only.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _decoded(cls, value: Any, info: ValidationInfo) -> Any:
        """Lists and objects are spelled in JSON; a fault in them is told as any other, by the name
        of its variable."""
        if not isinstance(value, str) or not is_composite(cls.model_fields[str(info.field_name)]):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("is a list or an object in JSON") from None

    @field_validator("mongodb_uri")
    @classmethod
    def _has_its_form(cls, uri: SecretStr | None) -> SecretStr | None:
        if uri is not None and not is_sound(uri.get_secret_value()):
            raise ValueError(FORM)
        return uri

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if faults := [*self._production_faults(), *self._outside_faults(), *self.archive_faults()]:
            raise ValueError("\n".join(faults))
        return self

    def _outside_faults(self) -> list[str]:
        faults = []
        hosts = [entry.partition("=") for entry in self.repository_hosts]
        if any(not _KIND.fullmatch(kind) or not _HOST.fullmatch(host) for kind, _, host in hosts):
            faults.append("SATCHEL_REPOSITORY_HOSTS lists hosts by their kind: GitLab=host")
        if self.sender_url is not None and self.sender_secret is None:
            faults.append("SATCHEL_SENDER_URL needs SATCHEL_SENDER_SECRET: 16 characters or more")
        if any(
            not _PROVIDER.fullmatch(name) or name in ("phone", "email") for name in self.providers
        ):
            faults.append(
                "SATCHEL_OIDC_PROVIDERS: one of the names cannot be a provider's name: lower case"
                " letters, digits, _ and -, such as `apple`"
            )
        if self.pool_min_size > self.pool_max_size:
            faults.append("SATCHEL_POOL_MIN_SIZE is larger than SATCHEL_POOL_MAX_SIZE")
        return faults

    @property
    def ledger_place(self) -> str:
        """Where the ledger of deletions is, see `ledger`."""
        if self.ledger is not None:
            return self.ledger
        if self.analytics_archive is not None:
            return f"{self.analytics_archive.rstrip('/')}/ledger"
        return str(self.data_dir / "ledger")

    def _production_faults(self) -> list[str]:
        """Production has its own secrets, seals with a ring of its own, and speaks to outside
        systems over TLS."""
        if self.environment != "production":
            return []
        fields = type(self).model_fields
        faults = [
            f"production needs {variable(name)}; such as"
            f" {variable(name)}={example(name, fields[name])}"
            for name in _PRODUCTION_NEEDS
            if getattr(self, name) is None
        ]
        if self.keyring is None and self.keyring_file is None:
            faults.append("production needs SATCHEL_KEYRING_FILE or SATCHEL_KEYRING")
        if self.ledger is None and self.analytics_archive is None:
            faults.append("production needs SATCHEL_LEDGER; such as SATCHEL_LEDGER=/var/lib/ledger")
        return [*faults, *self._plain_places()]

    def _plain_places(self) -> list[str]:
        places = {
            name: str(getattr(self, name))
            for name, field in OutsideSettings.model_fields.items()
            if str(field.default).startswith("https://")
        }
        return [
            f"in production {variable(name)} begins with https://"
            for name, place in {**places, **self.host_settings}.items()
            if not place.startswith("https://")
        ]

    @property
    def sandbox_offered(self) -> bool:
        """Whether connections may be made to invented banks."""
        return self.environment == "development" if self.bank_sandbox is None else self.bank_sandbox

    @property
    def keyring_path(self) -> Path:
        """Where the key ring is kept."""
        return self.keyring_file or self.data_dir / DEVELOPMENT_KEYRING

    @property
    def registered_apps_only(self) -> bool:
        """Whether an unregistered app id is refused."""
        if self.require_registered_apps is None:
            return self.environment == "production"
        return self.require_registered_apps

    @property
    def token_key_path(self) -> Path:
        """Where the Ed25519 signing key is kept."""
        return self.token_key_file or self.data_dir / DEVELOPMENT_TOKEN_KEY

    @property
    def secret_key_path(self) -> Path:
        """Where the master secret is kept."""
        return self.secret_key_file or self.data_dir / DEVELOPMENT_SECRET_KEY

    @property
    def webhook_key_path(self) -> Path:
        """Where the key is kept that accounts' webhook secrets are derived from."""
        return self.webhook_key_file or self.data_dir / DEVELOPMENT_WEBHOOK_KEY


@lru_cache
def load_settings() -> Settings:
    """The settings of this process, read once. Variables that look like settings and are none are
    warned of.

    Raises:
        SettingsError: variables are malformed, or production lacks some that it needs; told without
            their values.
    """
    for line in unknown_variables(Settings):
        sys.stderr.write(f"warning: {line}\n")
    try:
        return Settings()
    except ValidationError as error:
        lines, malformed = faults_of(error, Settings.model_fields)
    raise SettingsError([*lines, *_further_faults(malformed)])


def _further_faults(malformed: set[str]) -> list[str]:
    """What does not go together apart from the malformed settings; pydantic does not look at it
    where there are any."""
    defaults = {
        name: Settings.model_fields[name].get_default(call_default_factory=True)
        for name in malformed
    }
    try:
        if malformed:
            Settings(**defaults)
    except ValidationError as error:
        lines, _ = faults_of(error, Settings.model_fields)
        told = {variable(name) for name in malformed}
        return [line for line in lines if told.isdisjoint(re.findall(r"SATCHEL_[A-Z_]+", line))]
    return []
