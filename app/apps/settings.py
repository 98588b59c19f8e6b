"""The rules of app settings: registered by the first PUT, replaced by the next."""

from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from app.apps.views import AppView
from app.errors import NotFound, VersionMismatch
from models.app import App, AppContent
from models.app_data import Expected
from models.base import Raw, now


async def find_app(app_id: str) -> AppView:
    """The app with this id.

    Raises:
        NotFound: it is not registered.
    """
    row = await App.raw().find_one({"_id": app_id})
    if row is None:
        raise NotFound("there is no such app")
    return AppView.model_validate(App.from_stored(row))


async def put_app(app_id: str, content: AppContent, expected: Expected | None) -> tuple[AppView, bool]:
    """Register an app or replace its settings, in one atomic operation.

    Returns:
        The app, and whether it is new.

    Raises:
        VersionMismatch: the precondition does not hold.
    """
    if expected is not None and expected.absent:
        return await _create(app_id, content), True
    query: Raw = {"_id": app_id}
    if expected is not None and expected.versions is not None:
        query["version"] = {"$in": list(expected.versions)}
    row = await App.raw().find_one_and_update(
        query, _update(content), upsert=expected is None, return_document=ReturnDocument.AFTER
    )
    if row is None:
        raise await _mismatch(app_id)
    return AppView.model_validate(App.from_stored(row)), row["version"] == 1


async def _create(app_id: str, content: AppContent) -> AppView:
    try:
        app = await App(id=app_id, **content.model_dump(by_alias=False)).add()
    except DuplicateKeyError:
        raise await _mismatch(app_id) from None
    return AppView.model_validate(app)


async def _mismatch(app_id: str) -> VersionMismatch:
    row = await App.raw().find_one({"_id": app_id})
    view = AppView.model_validate(App.from_stored(row)) if row else None
    return VersionMismatch(view.model_dump(mode="json", by_alias=True) if view else None)


def _update(content: AppContent) -> dict[str, Any]:
    fields = content.model_dump(by_alias=True)
    moment = now()
    gone = {name: "" for name, value in fields.items() if value is None}
    kept = {name: value for name, value in fields.items() if value is not None}
    update: dict[str, Any] = {
        "$set": {**kept, "updatedAt": moment},
        "$inc": {"version": 1},
        "$setOnInsert": {"createdAt": moment},
    }
    return update | ({"$unset": gone} if gone else {})
