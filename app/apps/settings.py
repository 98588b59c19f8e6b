"""The rules of app settings: registered by the first PUT, replaced by the next."""

from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from app.apps.json_schemas import Schemas
from app.apps.schemas import AppReplacement, AppView
from app.database import joined
from app.errors import NotFound, VersionMismatch
from app.web.etags import tag_of
from app.web.preconditions import holds, mismatch
from app.web.read_only import READ_ONLY, refuse_changes, told, writable
from models.app import App
from models.app_data_queries import query_ids
from models.base import Raw, now
from models.precondition import Expected
from models.values import escape_row


async def find_app(app_id: str) -> AppView:
    """The app with this id.

    Raises:
        NotFound: it is not registered.
    """
    view = await _read(app_id)
    if view is None:
        raise NotFound("there is no such app")
    return view


async def _read(app_id: str) -> AppView | None:
    app = await App.find_by_id(app_id)
    return AppView.model_validate(app) if app else None


async def put_app(
    app_id: str, content: AppReplacement, expected: Expected | None
) -> tuple[AppView, bool]:
    """Register an app or replace its settings, in one atomic operation.

    Returns:
        The app, and whether it is new.

    Raises:
        VersionMismatch: the precondition does not hold.
        Invalid: the content tells a read-only field otherwise than it is, or what is to be a schema
            is none.
    """
    Schemas(content.schemas)
    if told(content):
        expected = await _check_told(app_id, content, expected)
    if expected is not None and expected.absent:
        return await _create(app_id, content), True
    query: Raw = {"_id": app_id, **(expected.of(tag_of(app_id)).where() if expected else {})}
    row = await App.raw().find_one_and_update(
        query,
        _update(app_id, content),
        upsert=expected is None,
        return_document=ReturnDocument.AFTER,
        session=joined(),
    )
    if row is None:
        raise await _mismatch(app_id, expected)
    return AppView.model_validate(App.from_stored(row)), row["version"] == 1


async def _check_told(
    app_id: str, content: AppReplacement, expected: Expected | None
) -> Expected | None:
    """What is to be expected of the app that the content's read-only fields were compared with."""
    view = await _read(app_id)
    if expected is not None and not (
        holds(expected, view.version, tag_of(app_id), view.updated_at) if view else expected.absent
    ):
        raise await _mismatch(app_id, expected)
    if content.id == app_id and told(content) == {"id"}:
        return expected
    refuse_changes(content, view)
    return Expected((view.version,)) if view else expected


async def _create(app_id: str, content: AppReplacement) -> AppView:
    app = App(id=app_id, **content.model_dump(exclude=set(READ_ONLY)))
    app.queries_changed_at = now() if content.queries else None
    try:
        await app.add(joined())
    except DuplicateKeyError:
        raise await _mismatch(app_id, Expected(absent=True)) from None
    return AppView.model_validate(app)


async def _mismatch(app_id: str, expected: Expected | None) -> VersionMismatch:
    view = await _read(app_id)
    return mismatch(expected, view.model_dump(mode="json", by_alias=True) if view else None)


def _update(app_id: str, content: AppReplacement) -> dict[str, Any]:
    fields = writable(content)
    moment = now()
    if content.queries:
        fields["queriesChangedAt"] = moment
    else:
        fields |= {"queriesChangedAt": None, "queriesAgain": None}
    gone = {name: "" for name, value in fields.items() if value is None}
    kept = escape_row({name: value for name, value in fields.items() if value is not None})
    update: dict[str, Any] = {
        "$set": {**kept, "updatedAt": moment},
        "$inc": {"version": 1},
        "$pull": {"queriesReady": {"$nin": query_ids(app_id, content)}},
        "$setOnInsert": {"createdAt": moment},
    }
    return update | ({"$unset": gone} if gone else {})
