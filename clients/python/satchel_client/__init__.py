"""Satchel for Python: a person's data offline and in step (`Session`, `Store`), people and data by
a key (`Server`)."""

from satchel_client.async_server import AsyncServer
from satchel_client.errors import (
    Busy,
    Conflict,
    Forbidden,
    Gone,
    InvalidInput,
    MergeConflict,
    NoGuest,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    SatchelError,
    SignedOut,
    Unauthenticated,
    Unreachable,
    UnsentWork,
    Unstorable,
)
from satchel_client.guests import GuestOutcome, SignedIn
from satchel_client.keeping import Entry, Refusal
from satchel_client.server import Server
from satchel_client.session import AsyncSession, Session
from satchel_client.store import AsyncStore, Store
from satchel_client.tokens import InFile, InMemory, TokenStorage
from satchel_client.values import (
    MISSING,
    Json,
    Missing,
    OnConflict,
    OnConflictAwaited,
    equal,
    merge_fields,
    merge_patched,
)

__version__ = "0.1.0"
__all__ = [
    "MISSING",
    "AsyncServer",
    "AsyncSession",
    "AsyncStore",
    "Busy",
    "Conflict",
    "Entry",
    "Forbidden",
    "Gone",
    "GuestOutcome",
    "InFile",
    "InMemory",
    "InvalidInput",
    "Json",
    "MergeConflict",
    "Missing",
    "NoGuest",
    "NotFound",
    "OnConflict",
    "OnConflictAwaited",
    "PreconditionFailed",
    "QuotaExceeded",
    "Refusal",
    "SatchelError",
    "Server",
    "Session",
    "SignedIn",
    "SignedOut",
    "Store",
    "TokenStorage",
    "Unauthenticated",
    "Unreachable",
    "UnsentWork",
    "Unstorable",
    "equal",
    "merge_fields",
    "merge_patched",
]
