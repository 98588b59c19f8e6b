"""Everything that is measured, by the names that Prometheus knows it by.

A label has few values, which are known beforehand: none is named by a caller. What comes from the
database is measured by a worker now and then, never when it is asked.
"""

import platform
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MutexValue, ValueClass

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_LONG_BUCKETS: Final = (0.01, 0.1, 1, 10, 60, 600)

BUILD: Final = Gauge(
    "satchel_build_info",
    "1, labelled by the version of Satchel and of Python that run",
    ["version", "python"],
    multiprocess_mode="livemax",
)
REQUESTS: Final = Histogram(
    "satchel_request_seconds",
    "Time to answer, by route template",
    ["method", "route", "status"],
    buckets=_BUCKETS,
)
CLOCK_AHEAD: Final = Gauge(
    "satchel_clock_ahead_seconds",
    "How far the machine's clock is ahead of the database's, by which Satchel goes",
    multiprocess_mode="livemax",
)
IN_FLIGHT: Final = Gauge(
    "satchel_requests_in_flight",
    "Requests being worked on, or waiting for a place",
    multiprocess_mode="livesum",
)
WAITING: Final = Gauge(
    "satchel_requests_waiting", "Requests waiting for a place", multiprocess_mode="livesum"
)
REFUSED: Final = Counter(
    "satchel_requests_refused", "Requests refused for want of a place, or of room or time to wait"
)
COMMANDS: Final = Histogram(
    "satchel_mongodb_command_seconds",
    "Time of a MongoDB command",
    ["command", "outcome"],
    buckets=_BUCKETS,
)
DATABASE_UP: Final = Gauge(
    "satchel_mongodb_up",
    "Whether there is a primary that takes writes, as far as the driver knows",
    multiprocess_mode="livemin",
)
POOL: Final = Gauge(
    "satchel_mongodb_pool_connections",
    "Connections to MongoDB",
    ["state"],
    multiprocess_mode="livesum",
)
JOBS: Final = Histogram(
    "satchel_job_seconds",
    "Time of a worker's job, by what came of it",
    ["kind", "outcome"],
    buckets=_LONG_BUCKETS,
)
JOBS_DUE: Final = Gauge(
    "satchel_jobs_due",
    "Jobs that are due and that no worker has begun, 10,000 at most",
    ["kind"],
    multiprocess_mode="mostrecent",
)
JOBS_OLDEST: Final = Gauge(
    "satchel_jobs_oldest_due_seconds",
    "How long the first of them has been due",
    ["kind"],
    multiprocess_mode="mostrecent",
)
ROLLUP_LAG: Final = Gauge(
    "satchel_rollup_lag_seconds",
    "How long ago the first event came in that the rollups do not contain; 0 where there is none",
    multiprocess_mode="mostrecent",
)
LEDGER_WAITING: Final = Gauge(
    "satchel_ledger_waiting_seconds",
    "How long ago the first thing was deleted or taken away that the ledger does not have; 0 where"
    " there is none",
    multiprocess_mode="mostrecent",
)
LEDGER_FILES: Final = Gauge(
    "satchel_ledger_files", "Files of the ledger of deletions", multiprocess_mode="mostrecent"
)
LEDGER_OLDEST: Final = Gauge(
    "satchel_ledger_oldest_seconds",
    "How old the first note in the ledger of deletions is; 0 where there is none",
    multiprocess_mode="mostrecent",
)
CODES_SENT: Final = Counter(
    "satchel_codes_sent", "One-time codes that the sender took", ["channel", "purpose"]
)
CODES_REFUSED: Final = Counter(
    "satchel_codes_refused", "Requests for a code that were refused, by why", ["reason"]
)
SIGN_INS: Final = Counter("satchel_sign_ins", "Sign-ins, by what was shown", ["method"])
SIGN_INS_FAILED: Final = Counter(
    "satchel_sign_ins_failed", "Sign-ins that were refused, by why", ["method", "reason"]
)
REFRESHES_REFUSED: Final = Counter(
    "satchel_refreshes_refused",
    "Refresh tokens that were refused, by why; `reused` ended the session",
    ["reason"],
)
QUOTA_REFUSALS: Final = Counter(
    "satchel_quota_refusals", "Writes that an app's quota for one person had no room for"
)
CHANGE_POLLS: Final = Counter(
    "satchel_change_polls",
    "Requests for what has changed, by whether they waited for it, and whether there was anything",
    ["kind", "outcome"],
)
CARD_EVENTS: Final = Counter(
    "satchel_card_events",
    "Attempts to deliver an event to an account's webhook, by what came of it",
    ["outcome"],
)
CARD_FAILURES: Final = Counter(
    "satchel_card_event_failures",
    "Attempts that an account's webhook did not take, by why",
    ["reason"],
)
CARD_BACKLOG: Final = Gauge(
    "satchel_card_event_backlog",
    "Card events that wait, or were given up, 100,000 at most",
    ["state"],
    multiprocess_mode="mostrecent",
)
CARD_OLDEST: Final = Gauge(
    "satchel_card_event_oldest_seconds",
    "How long ago the first of them happened",
    ["state"],
    multiprocess_mode="mostrecent",
)
LATE_SWEPT: Final = Counter(
    "satchel_late_swept_documents", "Documents found of a root after its deletion was swept"
)
GUESTS_EXPIRED: Final = Counter(
    "satchel_guests_expired", "Guests who were deleted since they did not come back"
)
LIVING_ROOTS: Final = Counter(
    "satchel_living_roots",
    "Times that a sweep met a document that is there though it was deleted, and stopped",
    ["collection"],
)


def metrics() -> tuple[bytes, str]:
    """Everything that is measured, in Prometheus' text format, and its media type; of all server
    processes where there are several."""
    if ValueClass is MutexValue:
        return generate_latest(), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


def note_build(version: str) -> None:
    """Say which build this process is."""
    BUILD.labels(version, platform.python_version()).set(1)


def begin_at_nothing() -> None:
    """Show what is counted by known names as 0 before it first happens: an increase from nothing is
    not seen."""
    for reason in ("resend", "requester", "service", "sender"):
        CODES_REFUSED.labels(reason)
    for reason in ("not_valid", "inactive", "reused"):
        REFRESHES_REFUSED.labels(reason)
    for kind in ("at_once", "waited"):
        for outcome in ("changes", "nothing"):
            CHANGE_POLLS.labels(kind, outcome)
