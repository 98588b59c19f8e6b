"""The key with which everything else is made: kept in `<data_dir>/admin-key`, or printed by
`scripts admin-key`."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.settings import load_settings
from app.settings.private_files import replace
from scripts.target import opened

if TYPE_CHECKING:
    from models.api_key import ApiKey

KEY_FILE = "admin-key"


@dataclass(frozen=True, slots=True)
class AdminKey:
    """The secret of an admin key, and why it was made just now; `reason` is None for one that was
    there."""

    secret: str
    reason: str | None


def admin_key() -> None:
    """Make an admin API key in the database and print it, this once. For deployments without
    `scripts run`."""
    print(asyncio.run(_make()))


async def ensure_admin_key(path: Path) -> AdminKey:
    """The admin key of a data folder; where file and database do not agree, a new one, in both.

    Keys that were made before stay valid until they are deleted.

    Args:
        path: file that keeps the secret (mode 0600). The documents must be bound to a database.
    """
    from models.api_key import ApiKey  # noqa: PLC0415

    kept = _read(path)
    if kept and await ApiKey.find_by_secret(kept) is not None:
        return AdminKey(kept, None)
    earlier = await ApiKey.raw().count_documents({"name": "admin"}, limit=1)
    key, secret = _issue()
    replace(path, f"{secret}\n".encode())
    await key.add()
    if kept:
        return AdminKey(secret, f"the key in {path} was not in this database")
    return AdminKey(
        secret, f"{path} was missing; earlier admin keys stay valid" if earlier else "first start"
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None


def _issue() -> "tuple[ApiKey, str]":
    from models.api_key import ApiKey, ApiKeyContent  # noqa: PLC0415

    return ApiKey.issue(ApiKeyContent(name="admin", scopes=["admin"]))


async def _make() -> str:
    async with opened(load_settings()):
        key, secret = _issue()
        await key.add()
    return secret
