"""The apps whose data an import brings: what their settings say of it."""

from collections.abc import Iterable, Mapping

from bson import ObjectId

from app.app_data.quotas import Growth, Room, Rooms
from app.apps.json_schemas import schemas_of
from app.apps.registry import AppRegistry
from app.errors import AppNotRegistered, Problem
from app.people.lines.told import Told
from app.web.observability.measures import QUOTA_REFUSALS
from models.app import AppContent
from models.app_data_queries import Query, queries_of


class Apps:
    """Settings of apps, looked up before the lines that name them are written.

    Args:
        registry: of the process.
        rooms: what apps keep of people.
    """

    def __init__(self, registry: AppRegistry, rooms: Rooms) -> None:
        self._registry = registry
        self._rooms = rooms
        self._known: dict[str, AppContent] = {}
        self._queries: dict[str, tuple[Query, ...]] = {}

    def of(self, app_id: str) -> AppContent:
        """An app's settings."""
        return self._known[app_id]

    def queries(self, app_id: str) -> tuple[Query, ...]:
        """Its declared queries."""
        return self._queries[app_id]

    async def check(self, people: Iterable[Told]) -> None:
        """Look the apps up, and refuse values that do not fit their schemas."""
        self._known, self._queries = {}, {}
        for told in people:
            await self._look_up(told)
            for value in () if told.errors else told.values:
                schemas = schemas_of(self._known[value.app_id])
                if schemas is None or value.was.get("deleted"):
                    continue
                try:
                    schemas.check(value.data_key, value.value)
                except Problem as problem:
                    for each in problem.errors:
                        pointer = f"{value.pointer}/value{each['pointer']}"
                        told.refuse(pointer, each["code"], each["detail"])

    async def _look_up(self, told: Told) -> None:
        named = [(value.app_id, f"{value.pointer}/appId") for value in told.values]
        named += [
            (each.app_id, f"/activity/{number}/appId") for number, each in enumerate(told.activity)
        ]
        for app_id, pointer in named:
            if app_id in self._known:
                continue
            try:
                app = await self._registry.settings_of(app_id)
            except AppNotRegistered as problem:
                told.refuse(pointer, "bad_reference", str(problem.detail))
            else:
                self._known[app_id], self._queries[app_id] = app, tuple(queries_of(app).values())

    async def hold_to_quotas(
        self, told: Told, user_id: ObjectId | None, kept: Mapping[tuple[str, str], int]
    ) -> None:
        """Refuse a line that makes what an app keeps of the person more than it may.

        Args:
            told: the line.
            user_id: the person; None for one who is new.
            kept: bytes of the live values that are there already, by app and key.
        """
        growth: dict[str, Growth] = {}
        for value in told.values:
            if self.of(value.app_id).quota is not None and not value.was.get("deleted"):
                before = kept.get(value.place)
                more = Growth(int(before is None), value.size - (before or 0))
                growth[value.app_id] = growth.get(value.app_id, Growth()) + more
        for app_id, more in growth.items():
            quota = self.of(app_id).quota
            room = Room() if user_id is None else await self._rooms.room(user_id, app_id)
            if quota is not None and not room.admits(more, quota):
                QUOTA_REFUSALS.inc()
                told.refuse("/appData", "quota_exceeded", f"{app_id} keeps as much as it may")

    def forget_rooms(self, told: Told, user_id: ObjectId) -> None:
        """Have what the apps keep of a person asked for anew."""
        for app_id in {value.app_id for value in told.values}:
            self._rooms.forget(user_id, app_id)
