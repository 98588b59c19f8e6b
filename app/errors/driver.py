"""What a client is told of an error of the database's driver."""

from typing import Final

from pymongo.errors import (
    AutoReconnect,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
)

from app.errors import Duplicate, Internal, Problem, TooLarge, Unavailable

_TRANSIENT = (
    AutoReconnect,
    NetworkTimeout,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    ExecutionTimeout,
)
SNAPSHOT_GONE: Final = {239, 246}
"""SnapshotTooOld, SnapshotUnavailable: what was read is no longer kept as it was; a new snapshot
has it."""
_RETRYABLE_CODES = {24, 50, 89, 91, 112, 189, 251, 262, 11600, 11602, 13435, 13436} | SNAPSHOT_GONE


def from_driver(error: PyMongoError) -> Problem:
    """What a client is told of an error of the driver: the one place where these are translated."""
    if isinstance(error, DuplicateKeyError):
        return _duplicate(error)
    if isinstance(error, DocumentTooLarge):
        return TooLarge("the document would be larger than the database takes")
    transient = (
        isinstance(error, _TRANSIENT)
        or error.timeout
        or error.has_error_label("TransientTransactionError")
    )
    if transient or (isinstance(error, OperationFailure) and error.code in _RETRYABLE_CODES):
        return Unavailable("the database did not answer in time")
    return Internal()


def _duplicate(error: DuplicateKeyError) -> Duplicate:
    fields = list((error.details or {}).get("keyPattern", {}))
    name = fields[-1] if fields else "value"
    detail = f"another document has this {name}"
    return Duplicate(
        detail, errors=[{"pointer": f"/{name}", "code": "duplicate", "detail": detail}]
    )
