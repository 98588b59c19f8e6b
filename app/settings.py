"""Every setting of a Satchel, read from `SATCHEL_*` variables or `.env`, and nothing read anywhere else."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, SettingsConfigDict

DEVELOPMENT_WEBHOOK_KEY = "webhook-key"
DEVELOPMENT_TOKEN_KEY = "token-key.pem"  # noqa: S105  # a file name
DEVELOPMENT_SECRET_KEY = "secret-key"  # noqa: S105  # a file name
_PROVIDER = re.compile(r"[a-z0-9_-]{1,32}")
_PRODUCTION_NEEDS = (
    "mongodb_uri",
    "token_key_file",
    "secret_key_file",
    "webhook_key_file",
    "sender_url",
    "sender_secret",
)


class OidcProvider(BaseModel):
    """Who issues ID tokens, where their keys are published, and who we are to them (`aud`, `azp`)."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid")

    issuers: list[str] = Field(min_length=1)
    jwks_url: str = Field(pattern=r"^https?://")
    client_ids: list[str] = Field(min_length=1)


class Settings(BaseSettings):
    """One deployment's configuration. No secret has a default; production refuses to start without its secrets."""

    model_config = SettingsConfigDict(env_prefix="SATCHEL_", env_file=".env", extra="ignore", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address that the server listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port that the server listens on.")
    environment: Literal["development", "production"] = Field(
        default="development", description="`production` refuses embedded databases and generated keys."
    )
    data_dir: Path = Field(
        default=Path(".satchel"),
        description="Folder of the admin key, the generated token key and the embedded database.",
    )

    mongodb_uri: SecretStr | None = Field(
        default=None,
        description="MongoDB connection string of a replica set. Unset: an embedded one, development only.",
    )
    mongod: Path | None = Field(
        default=None,
        description="Path of the `mongod` to embed. Unset: `mongod` on PATH, else the one from the Python wheel.",
    )
    database: str = Field(
        default="satchel",
        pattern=r"^[A-Za-z0-9_-]{1,38}$",
        description="Name of the database that holds every collection.",
    )
    pool_max_size: int = Field(default=10, ge=1, description="Most connections to MongoDB per process (seed 002: 10).")
    pool_min_size: int = Field(
        default=2, ge=0, description="Connections to MongoDB kept open per process (seed 002: 2)."
    )
    pool_max_idle_seconds: int = Field(
        default=20, ge=1, description="An idle connection to MongoDB is closed after this long (seed 004: 20 s)."
    )
    connect_timeout_seconds: int = Field(
        default=10, ge=1, description="Longest wait for a new connection to MongoDB (seed 004: 10 s)."
    )
    request_timeout_ms: int = Field(
        default=5000, ge=100, description="Longest that the database work of one operation of a request may take."
    )
    max_in_flight: int = Field(
        default=200, ge=1, description="Requests worked on at once per process; more are answered 503 with Retry-After."
    )
    max_bodies_under_way: int = Field(
        default=1000,
        ge=1,
        description="Bodies that may be arriving at once per process; more are answered 503 with Retry-After.",
    )
    body_seconds: float = Field(
        default=10.0, gt=0, description="Longest that a request's body may take to arrive; then it is answered 408."
    )
    shutdown_grace_seconds: int = Field(
        default=20, ge=1, description="On a stop, requests in flight get this long to finish."
    )

    lease_seconds: float = Field(
        default=5.0, gt=0, le=30, description="How long a process may insert for a parent that it has seen to exist."
    )
    deletion_fence_seconds: int = Field(
        default=120, ge=0, description="A finished deletion is swept again after this long; then its receipt is final."
    )
    deletion_inline_seconds: float = Field(
        default=1.0,
        ge=0,
        description="A DELETE sweeps for this long before it answers 202 and leaves the rest to the worker.",
    )
    deletion_small_tree: int = Field(
        default=500, ge=1, description="A tree of at most this many documents goes in the one committing transaction."
    )
    lean_indexes: bool = Field(
        default=False, description="Do without the indexes that are a prefix of another (`indexes apply --lean`)."
    )
    worker_poll_seconds: float = Field(
        default=1.0, gt=0, description="How often an idle worker looks for a job that is due."
    )
    idempotency_hours: int = Field(default=24, ge=1, description="How long an Idempotency-Key is remembered.")

    token_issuer: str = Field(default="satchel", description="`iss` of access tokens.")
    token_audience: str = Field(default="satchel", description="`aud` of access tokens.")
    token_lifetime_seconds: int = Field(default=600, ge=30, le=3600, description="Life of an access token.")
    token_key_file: Path | None = Field(
        default=None,
        description="PEM file of the Ed25519 private keys that sign and verify access tokens, the signing one last. "
        "Unset: one is made in the data folder, development only.",
    )
    credential_cache_seconds: float = Field(
        default=5.0,
        ge=0,
        le=60,
        description="A revoked API key, or a changed app setting, may be honoured for this long.",
    )
    require_registered_apps: bool | None = Field(
        default=None, description="Refuse app ids without `PUT /v1/apps/{appId}`. Unset: in production only."
    )

    secret_key_file: Path | None = Field(
        default=None,
        description="File of the master secret, at least 32 bytes, from which the keys of codes, refresh tokens and "
        "counters are derived. Unset: one is made in the data folder, development only.",
    )
    sender_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Where codes are posted to be sent as text message or email. "
        "Unset: they are printed, development only.",
    )
    sender_secret: SecretStr | None = Field(
        default=None, min_length=16, description="Signs the requests to SATCHEL_SENDER_URL (Standard Webhooks)."
    )
    sender_timeout_seconds: float = Field(default=5.0, gt=0, le=30, description="Longest wait for the sender.")
    otp_lifetime_seconds: int = Field(default=300, ge=30, le=3600, description="How long a code is good for.")
    otp_attempts: int = Field(default=5, ge=1, le=10, description="How many tries a challenge has, over all its codes.")
    otp_resend_seconds: int = Field(
        default=60, ge=1, description="A recipient gets another code after this long at the earliest."
    )
    otp_per_recipient_per_day: int = Field(default=10, ge=1, description="Codes to one phone or email address per day.")
    otp_per_client_per_hour: int = Field(
        default=30, ge=1, description="Codes that one client address may ask for per hour (IPv6: one /64)."
    )
    otp_per_hour: int = Field(default=10_000, ge=1, description="Codes that the whole service sends per hour.")
    sign_in_failures_per_client_per_hour: int = Field(
        default=300, ge=1, description="Failed sign-ins of one client address per hour; more are answered 429."
    )
    session_days: int = Field(default=30, ge=1, le=400, description="Longest life of a session.")
    session_idle_days: int = Field(
        default=30, ge=1, le=400, description="A session that is not used for this long is over."
    )
    session_limit: int = Field(
        default=5, ge=1, le=100, description="Sessions (devices) of one user; another one ends the oldest."
    )
    refresh_grace_seconds: int = Field(
        default=10, ge=0, le=60, description="A refresh token that is used again within this time gets the same answer."
    )
    selectable_roles: list[Literal["creator", "agency", "brand", "gifter"]] = Field(
        default=["creator", "agency", "brand", "gifter"],
        description="JSON list of the roles that people may choose for themselves (seed 004).",
    )
    google_client_ids: list[str] = Field(
        default_factory=list, description="JSON list of our client ids at Google; empty: no sign-in by Google."
    )
    google_issuers: list[str] = Field(
        default=["https://accounts.google.com", "accounts.google.com"], description="`iss` of Google's ID tokens."
    )
    google_jwks_url: str = Field(
        default="https://www.googleapis.com/oauth2/v3/certs", description="Where Google publishes its keys."
    )
    facebook_client_ids: list[str] = Field(
        default_factory=list, description="JSON list of our app ids at Facebook; empty: no sign-in by Facebook."
    )
    facebook_issuers: list[str] = Field(
        default=["https://www.facebook.com"], description="`iss` of Facebook's ID tokens."
    )
    facebook_jwks_url: str = Field(
        default="https://www.facebook.com/.well-known/oauth/openid/jwks/",
        description="Where Facebook publishes its keys.",
    )
    oidc_providers: dict[str, OidcProvider] = Field(
        default_factory=dict,
        description="JSON object of further OpenID Connect providers by name: "
        '`{"apple": {"issuers": [], "jwksUrl": "", "clientIds": []}}`.',
    )
    oidc_nonce_required: bool = Field(
        default=True, description="Refuse ID tokens without `nonce`. One that is there is checked in any case."
    )
    oidc_keys_seconds: int = Field(
        default=3600,
        ge=60,
        description="How long a provider's keys are remembered; an unknown key is looked up at once.",
    )
    joining_providers: list[str] = Field(
        default=["google", "email"],
        description="JSON list of the providers whose verified email joins a first sign-in to the user who holds "
        "the same verified email.",
    )
    audit_days: int = Field(default=365, ge=1, le=3650, description="How long the audit trail is kept.")
    key_overlap_hours: int = Field(
        default=24,
        ge=0,
        le=720,
        description="After a rotation an API key's secret before it is honoured for this long.",
    )

    webhook_key_file: Path | None = Field(
        default=None,
        description="File of at least 32 random bytes from which the secrets of accounts' webhooks are derived. "
        "Unset: one is made in the data folder, development only.",
    )
    webhook_timeout_seconds: float = Field(
        default=10.0, gt=0, le=20, description="Longest that an account's webhook may take to answer."
    )
    webhook_max_attempts: int = Field(
        default=12, ge=1, description="A card event that failed this often is given up (`GET /v1/admin/card-events`)."
    )
    webhook_retry_seconds: float = Field(
        default=5.0, ge=0, description="Wait after the first failure of a webhook; doubled by each further one."
    )
    webhook_concurrency: int = Field(
        default=16, ge=1, le=256, description="Cards whose events a worker delivers at once."
    )

    cors_origins: list[str] = Field(
        default_factory=list, description="JSON list of browser origins that may call the API; `*` for any."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    log_requests: bool = Field(default=True, description="Write one structured line per request.")
    log_format: Literal["json", "console"] = Field(default="json", description="`json` lines, or `console` for people.")
    public_url: str | None = Field(
        default=None,
        description="How the outside world reaches this server; in OpenAPI and in links. Unset: by host and port.",
    )

    @model_validator(mode="after")
    def _production_is_explicit(self) -> Self:
        if self.environment == "production":
            missing = [name for name in _PRODUCTION_NEEDS if getattr(self, name) is None]
            if missing:
                names = ", ".join(f"SATCHEL_{name.upper()}" for name in missing)
                raise ValueError(f"production needs {names}")
        if self.sender_url is not None and self.sender_secret is None:
            raise ValueError("SATCHEL_SENDER_URL needs SATCHEL_SENDER_SECRET")
        if odd := [name for name in self.providers if not _PROVIDER.fullmatch(name) or name in ("phone", "email")]:
            raise ValueError(f"SATCHEL_OIDC_PROVIDERS: {odd[0]} cannot be a provider's name")
        if self.pool_min_size > self.pool_max_size:
            raise ValueError("SATCHEL_POOL_MIN_SIZE is larger than SATCHEL_POOL_MAX_SIZE")
        return self

    @property
    def registered_apps_only(self) -> bool:
        """Whether an unregistered app id is refused."""
        if self.require_registered_apps is None:
            return self.environment == "production"
        return self.require_registered_apps

    @property
    def url(self) -> str:
        """How this server is reached, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def token_key_path(self) -> Path:
        """Where the Ed25519 signing key is kept."""
        return self.token_key_file or self.data_dir / DEVELOPMENT_TOKEN_KEY

    @property
    def secret_key_path(self) -> Path:
        """Where the master secret is kept."""
        return self.secret_key_file or self.data_dir / DEVELOPMENT_SECRET_KEY

    @property
    def providers(self) -> dict[str, OidcProvider]:
        """Every OpenID Connect provider that people can sign in by."""
        found = dict(self.oidc_providers)
        if self.google_client_ids:
            found["google"] = OidcProvider(
                issuers=self.google_issuers, jwks_url=self.google_jwks_url, client_ids=self.google_client_ids
            )
        if self.facebook_client_ids:
            found["facebook"] = OidcProvider(
                issuers=self.facebook_issuers, jwks_url=self.facebook_jwks_url, client_ids=self.facebook_client_ids
            )
        return found

    @property
    def webhook_key_path(self) -> Path:
        """Where the key is kept that accounts' webhook secrets are derived from."""
        return self.webhook_key_file or self.data_dir / DEVELOPMENT_WEBHOOK_KEY


@lru_cache
def load_settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        pydantic.ValidationError: a variable is malformed, or production lacks one that it needs.
    """
    return Settings()
