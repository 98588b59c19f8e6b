"""Where values of app data are, and how pages name them."""

from collections.abc import Mapping
from typing import Any, Final

from app.console.frame.calls import path_of
from app.console.frame.pages import PER_PAGE, Desk, Values
from app.console.frame.paging import LOOKED_AT, first_of, sifted, skipped
from app.errors import NotFound
from app.identity.principal import authorize
from models.app_data import AppData
from models.base import Raw, parse_id

_SHOWN: Final = {"userId": 1, "appId": 1, "dataKey": 1, "version": 1, "changedAt": 1, "bytes": 1}


def value_page(user_id: str, app_id: str, data_key: str) -> str:
    """The console's page of a value."""
    return path_of("/console/data/{}/{}/{}", user_id, app_id, data_key)


def value_path(desk: Desk) -> str:
    """The API's path of the value that the page's path names."""
    names = (desk["userId"], desk["appId"], desk["dataKey"])
    return path_of("/v1/users/{}/apps/{}/data/{}", *names)


async def person_sought(desk: Desk, text: str) -> Mapping[str, Any]:
    """The person whom a text names by id or email; as much of them as whoever is signed in may
    read.

    Raises:
        NotFound: it names nobody.
    """
    if parse_id(text) is not None:
        found = await desk.api.try_get(path_of("/v1/users/{}", text))
        return found or {"id": text, "name": None, "email": None}
    users = (await desk.api.get("/v1/users", email=text))["items"] if "@" in text else []
    if not users:
        raise NotFound(f"nobody has the id or email {text}")
    return dict(users[0])


async def deleted_values(desk: Desk, user_id: str, app_id: str) -> Values:
    """A page of what was deleted or has expired of an app's data of a person, the latest first."""
    found = parse_id(user_id)
    authorize(desk.principal, "data:read", user_id=found, app_id=app_id)
    where = {"userId": found, "appId": app_id, "deleted": True}
    query = AppData.raw().find(where, _SHOWN).sort([("changedAt", -1), ("_id", -1)])
    before = skipped(desk)
    rows = await query.skip(before).limit(PER_PAGE + 1).to_list()
    return first_of([_dated(row) for row in rows], PER_PAGE, before)


async def values_of_app(desk: Desk, app_id: str, prefix: str) -> Values:
    """A page of an app's live values, of whomever, those first that were made last.

    At most a thousand are looked at for it, however few of their keys begin as they are to.
    """
    authorize(desk.principal, "admin")
    before = parse_id(desk.query("cursor"))
    where: Raw = {"appId": app_id} | ({"_id": {"$lt": before}} if before else {})
    fields = {**_SHOWN, "deleted": 1}
    rows = await AppData.raw().find(where, fields).sort("_id", -1).limit(LOOKED_AT).to_list()
    shown = sifted(rows, lambda row: not row["deleted"] and row["dataKey"].startswith(prefix))
    return {**shown, "rows": [_dated(row) for row in shown["rows"]]}


def _dated(row: Raw) -> Raw:
    """A row, with the time of its last change as one."""
    return {**row, "changedAt": row["changedAt"].as_datetime()}
