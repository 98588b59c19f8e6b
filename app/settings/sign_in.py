"""The settings of sign-in: codes, sessions, providers of identities."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings


class OidcProvider(BaseModel):
    """Who issues ID tokens, where their keys are published, and who we are to them (`aud`, `azp`).

    `nonce_hashed`: their `nonce` is the SHA-256, in hex, of what clients send us, and never what
        they send itself.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid"
    )

    issuers: list[str] = Field(min_length=1)
    jwks_url: str = Field(pattern=r"^https?://")
    client_ids: list[str] = Field(min_length=1)
    nonce_hashed: bool = False


class SignInSettings(BaseSettings):
    """Part of `app.settings.Settings`."""

    secret_key_file: Path | None = Field(
        default=None,
        description=(
            "File of the master secret, at least 32 bytes, from which the keys of codes, refresh"
            " tokens and counters are derived. Unset: one is made in the data folder, development"
            " only."
        ),
    )
    sender_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description=(
            "Where codes are posted to be sent as text message or email. "
            "Unset: they are printed, development only."
        ),
    )
    sender_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Signs the requests to SATCHEL_SENDER_URL (Standard Webhooks).",
    )
    sender_timeout_seconds: float = Field(
        default=5.0, gt=0, le=30, description="Longest wait for the sender."
    )
    otp_lifetime_seconds: int = Field(
        default=300, ge=30, le=3600, description="How long a code is good for."
    )
    otp_attempts: int = Field(default=5, ge=1, le=10, description="How many tries a challenge has.")
    otp_resend_seconds: int = Field(
        default=60,
        ge=1,
        description=(
            "A requester gets another code to the same recipient after this long at the earliest."
        ),
    )
    otp_per_recipient_per_day: int = Field(
        default=10,
        ge=1,
        description=(
            "Codes to one phone or email address per day that are sent at once; beyond these one an"
            " hour is."
        ),
    )
    otp_per_client_per_hour: int = Field(
        default=60,
        ge=1,
        description=(
            "Codes that a client address (IPv6: a /64), a known device, or a user may ask for per"
            " hour."
        ),
    )
    otp_per_hour: int = Field(
        default=10_000,
        ge=1,
        description=(
            "Codes that the whole service sends per hour; known devices have as many again."
        ),
    )
    sign_in_failures_per_client_per_hour: int = Field(
        default=300,
        ge=1,
        description="Failed sign-ins of one client address per hour; more are answered 429.",
    )
    session_days: int = Field(default=30, ge=1, le=400, description="Longest life of a session.")
    session_idle_days: int = Field(
        default=30, ge=1, le=400, description="A session that is not used for this long is over."
    )
    session_limit: int = Field(
        default=5,
        ge=1,
        le=100,
        description="Sessions (devices) of one user; another one ends the oldest.",
    )
    guests: bool | None = Field(
        default=None,
        description="Whether there are guests, who have not signed in. Unset: not in production.",
    )
    guest_days: int = Field(
        default=30,
        ge=1,
        le=400,
        description="A guest who has not come back for this long is deleted.",
    )
    guests_per_client_per_hour: int = Field(
        default=60,
        ge=1,
        description="Guests that a client address (IPv6: a /64) may begin as per hour.",
    )
    selectable_roles: list[Literal["creator", "agency", "brand", "gifter"]] = Field(
        default=["creator", "agency", "brand", "gifter"],
        description="JSON list of the roles that people may choose for themselves.",
    )
    google_client_ids: list[str] = Field(
        default_factory=list,
        description="JSON list of our client ids at Google; empty: no sign-in by Google.",
    )
    google_issuers: list[str] = Field(
        default=["https://accounts.google.com", "accounts.google.com"],
        description="`iss` of Google's ID tokens.",
    )
    google_jwks_url: str = Field(
        default="https://www.googleapis.com/oauth2/v3/certs",
        description="Where Google publishes its keys.",
    )
    facebook_client_ids: list[str] = Field(
        default_factory=list,
        description="JSON list of our app ids at Facebook; empty: no sign-in by Facebook.",
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
        description=(
            "JSON object of further OpenID Connect providers by name: "
            '`{"apple": {"issuers": [], "jwksUrl": "", "clientIds": []}}`.'
        ),
    )
    oidc_nonce_required: bool = Field(
        default=True,
        description="Refuse ID tokens without `nonce`. One that is there is checked in any case.",
    )
    oidc_keys_seconds: int = Field(
        default=3600,
        ge=60,
        description=(
            "How long a provider's keys are remembered; an unknown key is looked up at once."
        ),
    )
    joining_providers: list[str] = Field(
        default=["google", "email"],
        description=(
            "JSON list of the providers whose verified email joins a first sign-in to the user who"
            " holds the same verified email."
        ),
    )
    audit_days: int = Field(
        default=365, ge=1, le=3650, description="How long the audit trail is kept."
    )
    key_overlap_hours: int = Field(
        default=24,
        ge=0,
        le=720,
        description="After a rotation an API key's secret before it is honoured for this long.",
    )

    @property
    def providers(self) -> dict[str, OidcProvider]:
        """Every OpenID Connect provider that people can sign in by."""
        found = dict(self.oidc_providers)
        if self.google_client_ids:
            found["google"] = OidcProvider(
                issuers=self.google_issuers,
                jwks_url=self.google_jwks_url,
                client_ids=self.google_client_ids,
            )
        if self.facebook_client_ids:
            found["facebook"] = OidcProvider(
                issuers=self.facebook_issuers,
                jwks_url=self.facebook_jwks_url,
                client_ids=self.facebook_client_ids,
            )
        return found
