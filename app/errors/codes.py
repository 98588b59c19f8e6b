"""Every machine-readable code: of a problem, and of a field that is wrong."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Code(StrEnum):
    """Every machine-readable code. A code never changes its meaning; new ones are added at the
    end."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    RESULT_GONE = "result_gone"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    DUPLICATE = "duplicate"
    IN_FLIGHT = "in_flight"
    ALREADY_DONE = "already_done"
    RESTRICTED = "restricted"
    PATCH_TEST_FAILED = "patch_test_failed"
    VERSION_MISMATCH = "version_mismatch"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    INVALID = "invalid"
    MALFORMED_JSON = "malformed_json"
    KEY_REUSED = "key_reused"
    VERSION_REQUIRED = "version_required"
    TOO_MANY_REQUESTS = "too_many_requests"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    APP_NOT_REGISTERED = "app_not_registered"
    BAD_REFERENCE = "bad_reference"
    LAST_IDENTITY = "last_identity"
    REQUEST_TIMEOUT = "request_timeout"
    ACCOUNT_NOT_ACTIVE = "account_not_active"
    BAD_TRANSITION = "bad_transition"
    SYNC_RUNNING = "sync_running"
    NEEDS_REAUTH = "needs_reauth"
    DISCONNECTED = "disconnected"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    INACTIVE = "inactive"
    BAD_SIGNATURE = "bad_signature"
    BAD_HOST = "bad_host"
    NOT_ALL_STORED = "not_all_stored"
    CURSOR_EXPIRED = "cursor_expired"
    QUOTA_EXCEEDED = "quota_exceeded"
    INDEX_BUILDING = "index_building"
    RESTORED_UNFINISHED = "restored_unfinished"
    MERGED = "merged"
    MERGE_CONFLICT = "merge_conflict"
    UNREADABLE = "unreadable"


FIELD_CODES: Final[Mapping[str, str]] = {
    "bad_reference": "It names something that is not there, or of another account.",
    "conflicting": "It cannot be together with another field or header.",
    "duplicate": "Another document has this value.",
    "forbidden": "This caller may not set it.",
    "integer_too_large": "An integer beyond 64 bits with sign.",
    "malformed": "It is of the right type and not of the right form.",
    "missing": "It must be there.",
    "not_allowed": "It is none of the values that there are.",
    "not_applicable": "An operation of a patch whose place is not there.",
    "not_finite": "NaN or Infinity.",
    "not_unicode": "A string with half of a surrogate pair.",
    "nul_in_key": "A key with U+0000.",
    "out_of_range": "Too large, too small, too early or too late.",
    "quota_exceeded": "The app keeps as much of this person as it may.",
    "read_only": "Only the server sets it.",
    "refused": (
        "A code, a token or a credential that is not good, here or for the outside system that was"
        " asked."
    ),
    "test_failed": "A `test` operation of a JSON Patch found another value.",
    "too_deep": "Nested more than 64 levels.",
    "too_long": "Too many characters, bytes or items.",
    "too_many": (
        "More items, more buckets of time, or one parameter more often, than a request may have."
    ),
    "too_short": "Too few characters or items.",
    "unacceptable_url": "A URL that nothing is sent to, such as one that leads within.",
    "unknown": "There is no such field or query parameter.",
    "unknown_timezone": "No timezone of the IANA database has this name.",
    "unknown_user": "There is no such user.",
    "wrong_type": "It is of another JSON type.",
}
"""Every code of `errors[].code`, and what it says of the field. Like `Code`, they never change
their meaning."""
