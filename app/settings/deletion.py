"""The settings of deletion: leases on parents, and how a tree that is deleted is swept."""

from pydantic import Field
from pydantic_settings import BaseSettings


class DeletionSettings(BaseSettings):
    """Part of `app.settings.Settings`."""

    lease_seconds: float = Field(
        default=5.0,
        gt=0,
        le=30,
        description="How long a process may insert for a parent that it has seen to exist.",
    )
    deletion_fence_seconds: int = Field(
        default=120,
        ge=0,
        description=(
            "A finished deletion is swept again after this long; then its receipt is final."
        ),
    )
    deletion_inline_seconds: float = Field(
        default=1.0,
        ge=0,
        description=(
            "A DELETE sweeps for this long before it answers 202 and leaves the rest to the worker."
        ),
    )
    deletion_small_tree: int = Field(
        default=500,
        ge=1,
        description="A tree of at most this many documents goes in the one committing transaction.",
    )
