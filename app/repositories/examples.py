"""Examples of projects and their repositories."""

from typing import Final

from fastapi import Body

from app.web.openapi.examples import DATES, ID, webhook

PROJECT: Final = Body(openapi_examples={"project": {"value": {"name": "Notes"}}})
MEMBER: Final = Body(openapi_examples={"reader": {"value": {"role": "member"}}})
REPOSITORY: Final = Body(
    openapi_examples={
        "github": {
            "value": {
                "repositoryUrl": "https://github.com/example/notes",
                "serviceType": "GitHub",
                "accessToken": "github_pat_example",
            }
        }
    }
)
GIT_WEBHOOK: Final = webhook({"zen": "Keep it logically awesome."})
MEMBER_SHOWN: Final = {"userId": ID, "role": "admin"}
PROJECT_SHOWN: Final = {"id": ID, **DATES, "name": "Notes", "members": [MEMBER_SHOWN]}
_OFFERED: Final = {
    "role": "member",
    "createdAt": "2026-11-20T08:30:00.125Z",
    "expiresAt": "2026-12-20T08:30:00.125Z",
}
INVITED_SHOWN: Final = {"userId": ID, **_OFFERED}
INVITATION_SHOWN: Final = {"projectId": ID, "projectName": "Notes", **_OFFERED}
REPOSITORY_SHOWN: Final = {
    "id": ID,
    "repositoryUrl": "https://github.com/example/notes",
    "serviceType": "GitHub",
    "isActive": True,
    "lastSyncAt": "2026-11-20T09:12:31.002Z",
    "createdAt": "2026-11-20T08:30:00.125Z",
}
HEALTH_SHOWN: Final = {
    "healthStatus": "degraded",
    "reasons": ["deliveries_failed"],
    "isActive": True,
    "lastHealthCheckAt": "2026-11-20T09:12:31.002Z",
}
EVENT_SHOWN: Final = {
    "id": ID,
    **DATES,
    "deliveryId": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "event": "push",
    "status": "processed",
    "attempts": 1,
    "receivedAt": "2026-11-20T08:30:00.125Z",
}
