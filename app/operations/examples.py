"""Examples of jobs and integrity scans."""

from typing import Final

from app.web.openapi.examples import ID

JOB_SHOWN: Final = {
    "id": ID,
    "kind": "sweep-deletion",
    "state": "due",
    "runAt": "2026-11-20T09:12:31.002Z",
    "attempts": 1,
    "progress": {"deleted": {"users": 1, "activities": 4000}},
}
RELATION_SHOWN: Final = {
    "child": "cards",
    "field": "userId",
    "parent": "users",
    "onDelete": "RESTRICT",
    "insert": "cold",
    "oneToOne": False,
    "nullable": True,
    "tenant": "accountId",
    "restrictedWhile": {"status": {"$in": ["pending", "open", "paused"]}},
    "companion": {"status": "orphaned"},
}
SCAN_SHOWN: Final = {
    "id": "appdata.userId",
    "state": "done",
    "startedAt": "2026-11-20T08:30:00.125Z",
    "finishedAt": "2026-11-20T08:30:04.000Z",
    "scanned": 120_000,
    "orphans": 1,
    "mismatches": 0,
    "pending": 0,
    "unreadable": 0,
    "living": 0,
    "samples": [
        {"kind": "orphan", "id": "691f0f3a5f0e8b3f5c9d2a11", "parentId": "691f0f3a5f0e8b3f5c9d2a10"}
    ],
}
