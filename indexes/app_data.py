"""Indexes of our own for app data."""

from typing import Final

from indexes.index import SPARSE, UNIQUE, Index
from models import AppData, AppUsage, Stored

OURS_APP_DATA: Final[dict[type[Stored], list[Index]]] = {
    AppData: [
        Index(
            {"userId": 1, "appId": 1, "dataKey": 1, "deleted": 1},
            "list the live values of an app among any number of tombstones",
            {"partialFilterExpression": {"deleted": False}},
        ),
        Index({"expiresAt": 1}, "app_data_expiry.expire_due", SPARSE),
        Index(
            {"queryKeys.$**": 1},
            "GET .../data?query=: the values of every declared query, in its order",
        ),
        Index({"appId": 1, "_id": 1}, "POST /v1/apps/{appId}/schemas/check, page by page"),
        Index(
            {"userId": 1, "appId": 1, "changedAt": 1, "_id": 1, "deleted": 1, "bytes": 1},
            "GET …/changes; usage",
        ),
        Index(
            {"appId": 1, "changedAt": 1},
            "tombstones to purge",
            {"partialFilterExpression": {"deleted": True}},
        ),
    ],
    AppUsage: [
        Index(
            {"userId": 1, "appId": 1},
            "AppUsage: horizon and floor of an app's data of a user",
            UNIQUE,
        )
    ],
}
"""By document."""
