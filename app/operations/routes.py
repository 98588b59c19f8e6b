"""Routes of operation: is it alive, is it ready, what does it measure; and what only admins see."""

import time
from datetime import datetime
from typing import Any, Final

import pymongo
from fastapi import Request, Response
from pymongo.errors import PyMongoError

from app import migrations
from app.database import UNREACHED, client
from app.errors import NotFound, RestoredUnfinished, Unavailable
from app.identity.access import ADMIN, PUBLIC, Access
from app.identity.caller import Caller
from app.identity.principal import Principal, authorize
from app.jobs import UNREADABLE
from app.ledger import DamagedLedgerError, is_behind
from app.operations.examples import JOB_SHOWN, RELATION_SHOWN, SCAN_SHOWN
from app.operations.schemas import (
    IndexReport,
    IntegrityReport,
    JobView,
    RelationView,
    ScanView,
    relation_views,
)
from app.relations.receipts import Receipt, receipt_of
from app.web.etags import EPOCH_DAMAGED, load_epoch
from app.web.observability import log
from app.web.observability.measures import metrics
from app.web.openapi.answers import problems
from app.web.openapi.examples import RECEIPT_SHOWN, answers
from app.web.routing import Router
from indexes import sync
from models.base import Raw, now, parse_id
from models.clock import CLOCK
from models.deletion import Deletion
from models.deployment import Deployment
from models.integrity import IntegrityScan
from models.job import Job
from models.unreadable import Unreadable

_READY: Final = {
    "status": "ready",
    "missingIndexes": [],
    "pendingSteps": [],
    "clockAheadSeconds": 0.003,
}
_GOOD_SECONDS: Final = 30
_UNFINISHED: Final = (
    "a backup is being restored, or was: `python -m scripts restore` or `restored` is to come to"
    " its end"
)
router = Router(tags=["Operation"])


@router.get(
    "/livez",
    access=PUBLIC,
    operation_id="isAlive",
    summary="Is the process alive",
    responses=answers({"status": "alive"}),
)
async def livez() -> dict[str, str]:
    """Never touches the database."""
    return {"status": "alive"}


@router.get(
    "/readyz",
    access=PUBLIC,
    operation_id="isReady",
    summary="Can requests be served",
    responses=answers(
        {"status": "ready", "missingIndexes": [], "pendingSteps": [], "clockAheadSeconds": 0.003}
    )
    | {503: problems()[503]},
)
async def readyz(request: Request) -> dict[str, Any]:
    """Pings the primary within a second; says which indexes are missing and which steps of
    `migrate` are pending.

    503 where any of these is amiss, where the row that has the database's epoch is damaged, and
    `restored_unfinished` while a backup is being restored, and where the database is older than its
    ledger of deletions. `clockAheadSeconds` is how far the
    machine's clock is ahead of the database's. Satchel goes by the database's: a difference is a
    reason to set the machine's, and none to send requests elsewhere.
    """
    if request.app.state.is_leaving:
        raise Unavailable("this server is about to stop")
    database = request.app.state.database
    try:
        with pymongo.timeout(1):
            await client().admin.command("ping")
            restoring = await Deployment.is_restoring()
            missing = await sync.missing(database, lean=request.app.state.settings.lean_indexes)
            taken = getattr(request.app.state, "steps_taken", False)
            steps = [] if taken else await migrations.pending()
        restoring = restoring or await _is_old(request)
        if not restoring:
            await load_epoch()
    except PyMongoError:
        raise Unavailable(UNREACHED) from None
    except Unreadable as error:
        log.error(EPOCH_DAMAGED, error=str(error))
        raise Unavailable(EPOCH_DAMAGED) from None
    if restoring:
        raise RestoredUnfinished(_UNFINISHED, 5)
    found = {"missingIndexes": missing, "pendingSteps": steps}
    _require_up_to_date(found)
    request.app.state.steps_taken = True  # for good: a new version is another process
    return {"status": "ready", **found, "clockAheadSeconds": round(CLOCK.ahead(), 3)}


def _require_up_to_date(found: dict[str, Any]) -> None:
    if found["missingIndexes"]:
        raise Unavailable("indexes are missing: python -m scripts indexes apply", extra=found)
    if found["pendingSteps"]:
        raise Unavailable(
            "the data is of an earlier version: python -m scripts migrate", extra=found
        )


async def _is_old(request: Request) -> bool:
    """Whether the database is older than its ledger of deletions, as far as that can be read.

    What was found good is looked at again after half a minute.
    """
    state = request.app.state
    if time.monotonic() < getattr(state, "ledger_good_until", 0):
        return False
    try:
        if await is_behind(state.settings):
            return True
    except (DamagedLedgerError, OSError) as error:
        log.error("the ledger of deletions cannot be read", error=str(error))
    state.ledger_good_until = time.monotonic() + _GOOD_SECONDS
    return False


@router.get(
    "/metrics",
    access=PUBLIC,
    operation_id="getMetrics",
    summary="Measurements",
    response_class=Response,
)
async def get_metrics() -> Response:
    """In Prometheus' text format."""
    body, media_type = metrics()
    return Response(body, media_type=media_type)


@router.get(
    "/v1/admin/indexes",
    access=ADMIN,
    operation_id="getIndexes",
    summary="Indexes that differ",
    responses=problems() | answers({"drift": []}),
)
async def get_indexes(caller: Caller, request: Request) -> IndexReport:
    """What `python -m scripts indexes verify` says."""
    authorize(caller, "admin")
    drift = await sync.verify(
        request.app.state.database, lean=request.app.state.settings.lean_indexes
    )
    return IndexReport(drift=drift)


@router.get(
    "/v1/admin/relations",
    access=ADMIN,
    operation_id="getRelations",
    summary="The relations",
    responses=problems() | answers([RELATION_SHOWN]),
)
async def get_relations(caller: Caller) -> list[RelationView]:
    """Which field refers to what, and what happens when that goes."""
    authorize(caller, "admin")
    return relation_views()


@router.get(
    "/v1/admin/integrity",
    access=ADMIN,
    operation_id="getIntegrity",
    summary="The last integrity audit",
    responses=problems() | answers({"scans": [SCAN_SHOWN]}),
)
async def get_integrity(caller: Caller) -> IntegrityReport:
    """What `python -m scripts integrity check` found: a scan for each relation, and one for each
    collection that jobs go by; none where it never ran.
    """
    authorize(caller, "admin")
    scans = await IntegrityScan.find_all_scans()
    return IntegrityReport(scans=[ScanView.model_validate(scan) for scan in scans])


@router.get(
    "/v1/admin/jobs",
    access=ADMIN,
    operation_id="listJobs",
    summary="Background jobs",
    responses=problems() | answers([JOB_SHOWN]),
)
async def list_jobs(caller: Caller) -> list[JobView]:
    """Those that are due first, at most 200."""
    authorize(caller, "admin")
    rows = await Job.raw().find({"state": "due"}).sort("runAt", 1).limit(200).to_list()
    return [_shown(row) for row in rows]


@router.get(
    "/v1/admin/jobs/{jobId}",
    access=ADMIN,
    operation_id="getJob",
    summary="A background job",
    responses=problems() | answers(JOB_SHOWN),
)
async def get_job(jobId: str, caller: Caller) -> JobView:
    """Its progress, when it runs next, and its last error."""
    authorize(caller, "admin")
    row = await Job.raw().find_one({"_id": parse_id(jobId) or jobId})
    if row is None:
        raise NotFound("there is no such job")
    return _shown(row)


def _shown(row: Raw) -> JobView:
    """A job; of one that this version cannot read, what can be told."""
    try:
        return JobView.model_validate(Job.from_stored(row))
    except ValueError:
        kind, due = str(row.get("kind")), row.get("runAt")
        run_at = due if isinstance(due, datetime) else now()
        return JobView(
            id=row["_id"],
            kind=kind,
            state="due",
            run_at=run_at,
            attempts=0,
            progress={},
            last_error=UNREADABLE,
        )


@router.get(
    "/v1/admin/deletions/{deletionId}",
    access=ADMIN,
    operation_id="getDeletion",
    summary="The receipt of a deletion",
    responses=problems() | answers(RECEIPT_SHOWN),
)
async def get_deletion(deletionId: str, caller: Caller) -> Receipt:
    """By the id of the document that was deleted, whatever it was. Receipts are kept."""
    authorize(caller, "admin")
    ledger = await Deletion.find_by_id(parse_id(deletionId))
    if ledger is None:
        raise NotFound("there is no such deletion")
    return await receipt_of(ledger)


@router.get(
    "/v1/deletions/{deletionId}",
    access=Access(
        owner=True,
        any_key=True,
        of_app=True,
        people="the user or API key that asked for the deletion",
    ),
    operation_id="getOwnDeletion",
    summary="The receipt of a deletion that the caller asked for",
    responses=problems() | answers(RECEIPT_SHOWN),
)
async def get_own_deletion(deletionId: str, caller: Caller) -> Receipt:
    """By the id of the document that was deleted: counts so far while a job goes on, `final` in the
    end. A token that is bound to an app sees the deletions of what that app keeps."""
    ledger = await Deletion.find_by_id(parse_id(deletionId))
    if ledger is None or not _asked_for(ledger, caller):
        raise NotFound("there is no such deletion")
    return await receipt_of(ledger)


def _asked_for(ledger: Deletion, caller: Principal) -> bool:
    """Whether a deletion is the caller's to see."""
    if caller.is_admin:
        return True
    return ledger.by == caller.name and caller.app_id in (None, ledger.app_id)
