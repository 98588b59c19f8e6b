"""A second process: takes a lease on a user, says so, and writes for that user when it is told
to."""

import asyncio
import sys

from bson import ObjectId

from app.database import bind
from app.database.driver import Client
from app.relations.leases import Leases
from app.settings import Settings
from models import Activity, Analytics, AppData, User
from models.activity import ActivityContent
from models.analytics import AnalyticsContent

APP_NAME = "delayed"


async def write(kind: str, user_id: ObjectId) -> None:
    """One hot insert of this kind."""
    if kind == "activity":
        await Activity.create_activity(user_id, ActivityContent(app_id="notes", event_type="late"))
    elif kind == "event":
        content = AnalyticsContent(app_id="notes", event_name="late", event_category="custom")
        await Analytics.create_analytics(content, user_id)
    else:
        await AppData.put(user_id, "notes", "late", 1, size=1, by="late")


async def main(uri: str, database: str, kind: str, user: str) -> None:
    settings = Settings(_env_file=None, database=database)
    async with Client(
        settings, uri, appname=APP_NAME, tz_aware=True, w="majority", journal=True
    ) as client:
        await bind(client, settings)
        user_id, leases = ObjectId(user), Leases(settings.lease_seconds)
        await leases.hold(User, user_id)
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        assert leases.is_held(user_id)
        await write(kind, user_id)
    print("written", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
