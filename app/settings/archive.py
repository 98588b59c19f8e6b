"""The settings of the archive of raw events: a folder, or a bucket of a service that speaks S3."""

import re
from typing import Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#]*)?")


class ArchiveSettings(BaseSettings):
    """Part of `app.settings.Settings`."""

    analytics_archive: str | None = Field(
        default=None,
        description=(
            "Where raw events are archived: a folder, or `s3://bucket/prefix`. "
            "Unset: they are kept in the database for ever."
        ),
    )
    analytics_archive_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^/?#@]+/?$",
        description=(
            "The S3 service, such as `https://s3.example.com`. Unset: Amazon's, by the region."
        ),
    )
    analytics_archive_region: str | None = Field(
        default=None, description="The bucket's region. Unset: AWS_REGION, else `us-east-1`."
    )
    analytics_archive_access_key_id: str | None = Field(
        default=None,
        description=(
            "Whose key it is. Unset: AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE, or the"
            " machine's role."
        ),
    )
    analytics_archive_secret_access_key: SecretStr | None = Field(
        default=None, description="The secret of that key; set if and only if the id is."
    )
    analytics_archive_path_style: bool = Field(
        default=True,
        description=(
            "The bucket stands in the path of URLs. `false`: in the host's name; an endpoint then"
            " includes it."
        ),
    )

    ledger: str | None = Field(
        default=None,
        description=(
            "Where deletions and revoked keys are noted, ids only, so that a restored backup can"
            " lose them again: a folder, or `s3://bucket/prefix`, that servers and workers share."
            " Unset: `ledger` in the archive, else in the data folder."
        ),
    )

    @field_validator(
        "ledger",
        "analytics_archive",
        "analytics_archive_endpoint",
        "analytics_archive_region",
        "analytics_archive_access_key_id",
        "analytics_archive_secret_access_key",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

    def archive_faults(self) -> list[str]:
        """What does not go together, a line each."""
        faults = []
        target = self.analytics_archive
        if self.ledger is not None and "://" in self.ledger and not _BUCKET.fullmatch(self.ledger):
            faults.append("SATCHEL_LEDGER: is a folder or s3://bucket/prefix")
        if target is not None and "://" in target and not _BUCKET.fullmatch(target):
            faults.append("SATCHEL_ANALYTICS_ARCHIVE: is a folder or s3://bucket/prefix")
        if (self.analytics_archive_access_key_id is None) != (
            self.analytics_archive_secret_access_key is None
        ):
            faults.append(
                "SATCHEL_ANALYTICS_ARCHIVE_ACCESS_KEY_ID and"
                " SATCHEL_ANALYTICS_ARCHIVE_SECRET_ACCESS_KEY go together"
            )
        return faults
