"""Every asynchronous operation of the documents, for the tests that look at what is sent."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from bson import ObjectId

from app.database import transaction
from models import (
    Activity,
    Analytics,
    ApiKey,
    AppData,
    AuditEvent,
    Deletion,
    Deployment,
    Preferences,
    Profile,
    RefreshToken,
    User,
)
from models.activity import ActivityContent
from models.analytics import AnalyticsContent
from models.app_data_updates import Expiry
from models.base import Raw
from models.deletion import Stage
from models.owned import OwnedByUser, populate
from models.precondition import Expected
from models.user import UserContent
from tests.filled import NOW, USERS, event
from tests.indexes.analytics_operations import ANALYTICS_OPERATIONS
from tests.indexes.card_operations import CARD_OPERATIONS
from tests.indexes.ledger_operations import LEDGER_OPERATIONS
from tests.indexes.link_operations import LINK_OPERATIONS
from tests.indexes.plain import plain_operations
from tests.indexes.query_operations import QUERY_OPERATIONS
from tests.indexes.scan_operations import SCAN_OPERATIONS
from tests.indexes.sign_in_operations import SIGN_IN_OPERATIONS

ME, APP = USERS[7], "app1"
AGO = NOW - timedelta(days=20)

Operation = Callable[[], Awaitable[Any]]


def content(**fields: Any) -> ActivityContent:
    return ActivityContent(app_id=APP, event_type="login", **fields)


def put(key: str, expected: Expected | None = None, **options: Any) -> Operation:
    return lambda: AppData.put(
        ME, APP, key, {"a": 1}, size=7, by="test", expected=expected, **options
    )


async def page(**options: Any) -> list[Activity]:
    """Two pages, the second by the cursor of the first."""
    first = await Activity.find_by_user_id(ME, 5, **options)
    return await Activity.find_by_user_id(
        ME, 5, after=(first[-1].timestamp, ObjectId(first[-1].id)), **options
    )


async def delete_own_key() -> None:
    await AppData.put(ME, APP, "gone", 1, size=1, by="test")
    await AppData.delete(ME, APP, "gone", by="test", expected=Expected(versions=(1,)))
    await AppData.put(ME, APP, "gone", 1, size=1, by="test")
    await AppData.delete(ME, APP, "gone", by="test")


async def log_in() -> None:
    user = User(id=ME)
    await user.update_last_login()

    async def together(session: Any) -> None:
        await user.update_last_login(session=session)
        await Activity.create_activity(ME, content(), session=session)

    await transaction(together)


async def populate_each() -> None:
    children: list[OwnedByUser] = [
        *await Activity.find_by_user_id(ME, 3),
        await Profile.find_or_create_profile(ME),
    ]
    await populate(children)
    await children[0].populate()


def counts(count: Callable[..., Awaitable[Any]]) -> list[Operation]:
    narrow: list[Raw] = [
        {},
        {"user_id": ME},
        {"appId": APP},
        {"eventName": "event1"},
        {"eventCategory": "error"},
    ]
    return [lambda equal=equal: count(AGO, NOW, **equal) for equal in narrow]  # type: ignore[misc]


OPERATIONS: dict[str, list[Operation]] = {
    **plain_operations(),
    **ANALYTICS_OPERATIONS,
    **CARD_OPERATIONS,
    "Stored.add": [lambda: Activity(user_id=ME, app_id=APP, event_type="x").add()],
    "Stored.change": [
        lambda: User.change({"_id": ME}, {"name": "Ann"}),
        lambda: User.change({"_id": ME}, {"name": None}, expected=1),
        lambda: Profile.change({"userId": ME}, {"bio": "b"}, expected=1),
        lambda: Preferences.change({"userId": ME}, {"theme": "dark"}),
    ],
    "OwnedByUser.populate": [populate_each],
    "User.create_user": [lambda: User.create_user(UserContent(email="new@example.com"))],
    "User.find_by_keys": [
        lambda: User.find_by_keys({"valuUserId": "v-3"}),
        lambda: User.find_by_keys({"merkosUserId": "m-3"}),
        lambda: User.find_by_keys({"email": "user3@example.com", "valuUserId": "v-3"}),
        lambda: User.find_by_keys({"email": "user3@example.com", "merkosUserId": "m-3"}),
    ],
    "User.page_by_name": [
        lambda: User.page_by_name("use", {}, 5),
        lambda: User.page_by_name("use", {"role": "creator"}, 5, ("User 3", USERS[3])),
    ],
    "User.update_last_login": [log_in],
    "OneToOne.find_by_user_id": [
        lambda: Profile.find_by_user_id(ME),
        lambda: Preferences.find_by_user_id(ME),
    ],
    "OneToOne.find_or_create": [
        lambda: Profile.find_or_create(ME),
        lambda: Preferences.find_or_create(ME),
    ],
    "Activity.create_activity": [lambda: Activity.create_activity(ME, content())],
    "Activity.find_by_user_id": [
        page,
        lambda: page(start=AGO),
        lambda: page(start=AGO, end=NOW),
        lambda: page(where={"appId": "app0"}),
        lambda: page(where={"eventType": "type2"}, end=NOW),
        lambda: page(where={"sessionId": "session7"}),
        lambda: page(where={"appId": "app0", "eventType": "type2"}),
        lambda: page(where={"appId": APP, "sessionId": "session7"}),
    ],
    "Activity.get_recent_activity": [lambda: Activity.get_recent_activity(ME, 24)],
    "AppData.find_envelope": [lambda: AppData.find_envelope(ME, APP, "key00007")],
    "AppData.page_by_user_and_app": [
        lambda: AppData.page_by_user_and_app(ME, APP, limit=5, most_bytes=1)
    ],
    "AppData.find_by_user_and_app": [
        lambda: AppData.find_by_user_and_app(ME, APP, limit=5),
        lambda: AppData.find_by_user_and_app(
            ME, APP, prefix="key0", after="key00500", fields=("updatedAt",)
        ),
    ],
    "AppData.put": [
        put("fresh", Expected(absent=True), expires_at=NOW + timedelta(days=1)),
        put("fresh"),
        put("fresh", Expected(), expires_at=Expiry.KEEP),
        put("fresh", Expected(versions=(3,))),
        put("fresh", Expected(versions=(4, 9))),
    ],
    "AppData.delete": [delete_own_key],
    "Analytics.page_of_user": [
        lambda: Analytics.page_of_user(ME, {}, None, None, 5),
        lambda: Analytics.page_of_user(ME, {"appId": APP}, NOW, NOW, 5, (NOW, 2)),
    ],
    "Analytics.create_analytics": [
        lambda: Analytics.create_analytics(
            AnalyticsContent(app_id=APP, event_name="login", event_category="engagement"), ME
        )
    ],
    "Analytics.insert_each": [lambda: Analytics.insert_each([event(1)])],
    "Analytics.insert_rows": [
        lambda: Analytics.insert_rows(
            [{**event(1), "_id": ObjectId(), "messageId": str(ObjectId())}]
        )
    ],
    "Analytics.without_stored": [lambda: Analytics.without_stored([event(1), event(3)])],
    "Analytics.get_event_counts": counts(Analytics.get_event_counts),
    "Analytics.get_category_counts": counts(Analytics.get_category_counts),
    "ApiKey.note_use": [lambda: ApiKey(id=ME, name="x", scopes=["admin"], hash="h").note_use()],
    "RefreshToken.find_living": [
        lambda: RefreshToken.find_living(ME),
        lambda: RefreshToken.find_living(ME, user_id=ME),
    ],
    "RefreshToken.end_others": [
        lambda: RefreshToken.end_others(ME, None),
        lambda: RefreshToken.end_others(ME, ME),
    ],
    **SIGN_IN_OPERATIONS,
    "AuditEvent.record": [lambda: AuditEvent.record("grant", "key:x", timedelta(days=1))],
    "Deletion.find_pending": [lambda: Deletion.find_pending(ME, Stage.CASCADE, 10)],
    "Deletion.move_on": [lambda: Deletion.move_on([ME], Stage.RELEASE, Stage.DONE)],
    "Deletion.enter": [
        lambda: Deletion.enter(
            [Deletion(id=ObjectId(), root="users", by="x", at=NOW)], session=None
        )
    ],
    **SCAN_OPERATIONS,
    "Deployment.begin_epoch": [Deployment.begin_epoch],
    **LEDGER_OPERATIONS,
    "Deployment.drop_all_but_mark": [Deployment.drop_all_but_mark],
}
OPERATIONS |= LINK_OPERATIONS | QUERY_OPERATIONS
"""Every asynchronous operation of the documents, by the class that defines it, with each way in
which it is called: what its signature does not say enough of, and what follows from it."""
