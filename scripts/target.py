"""Which MongoDB a script talks to, and the way to open it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from app.settings import Settings, load_settings
from app.settings.connection_string import FORM, SHOWABLE, is_sound

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

URI_FILE: Final = "mongodb-uri"


class NoTargetError(Exception):
    """It is not known which MongoDB is meant; the message says what to do."""


def resolve_uri(settings: Settings) -> str:
    """The connection string: `SATCHEL_MONGODB_URI`, else that of the Satchel running in the data
    folder.

    Raises:
        NoTargetError: there is neither, or the string is malformed.
    """
    if settings.mongodb_uri is not None:
        uri = settings.mongodb_uri.get_secret_value()
        # what is left of a password may pass for a host, and be shown
        if not is_sound(uri):
            raise NoTargetError(f"SATCHEL_MONGODB_URI {FORM}.")
        return uri
    try:
        return (settings.data_dir / URI_FILE).read_text().strip()
    except FileNotFoundError:
        raise NoTargetError(
            f"No Satchel runs with the data folder {settings.data_dir} and SATCHEL_MONGODB_URI is"
            " not set: start one with `make run`, or set SATCHEL_MONGODB_URI or SATCHEL_DATA_DIR."
        ) from None


def without_password(uri: str) -> str:
    """The connection string as it may be shown: its hosts, without user, password and options."""
    found = SHOWABLE.fullmatch(uri)
    return f"{found['scheme']}://{found['hosts']}" if found else "mongodb://..."


def reason(error: Exception) -> str:
    """What a driver's error says, without the state of the whole topology or the answer behind
    it."""
    return str(error).partition(" (configured timeouts")[0].partition(", full error: ")[0]


@asynccontextmanager
async def opened(
    settings: Settings | None = None, *, uri: str | None = None
) -> "AsyncIterator[AsyncDatabase[dict[str, Any]]]":
    """The database with every document class bound to it, while the block lasts; operations have no
    time limit.

    Args:
        settings: those of this process where None.
        uri: connection string; that of `resolve_uri` where None.

    Raises:
        NoTargetError: no MongoDB is configured.
        pymongo.errors.ServerSelectionTimeoutError: it does not answer.
    """
    # a second to import, which `--help` need not wait for
    from app.database import bind, connect  # noqa: PLC0415

    settings = settings or load_settings()
    client = connect(settings, uri or resolve_uri(settings), bounded=False)
    try:
        yield await bind(client, settings)
    finally:
        await client.close()
