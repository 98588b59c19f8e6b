"""Watching: one change stream tells a worker what others have written that is to be done, now or
later.

It is there so that an idle worker asks nothing of the database. Nothing depends on it: where it
breaks, the loops look by themselves until it is there again, and then at everything that could have
been missed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.change_stream import AsyncChangeStream

from app.jobs.backoff import Backoff
from app.jobs.bell import Bell
from app.web.observability import log
from models.base import Raw, Stored, now

_AWAIT_SECONDS: Final = 30.0
"""How long the database keeps a question for changes when there are none."""
_DEAF_SECONDS: Final = 30.0  # beyond that: nothing came back at all
_GATHER_SECONDS: Final = 0.2  # changes come in crowds, and one look serves all of them
_REOPEN: Final = Backoff(0.4, 30.0)
_STEADY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Watched:
    """Documents that give something to do.

    Args:
        document: their class.
        field: stored name of the field whose writing says so; where it holds a time, that is when.
        but: stored names of fields: a change that writes one of them is none of these.
        in_crowd: whether most writes of the collection are none of these.
    """

    document: type[Stored]
    field: str
    but: tuple[str, ...] = ()
    in_crowd: bool = False

    def patterns(self) -> list[Raw]:
        """What changes match of which these are some, asked of each entry of the oplog: of a crowd
        these alone, since each that passes costs more; else any of the collection."""
        where = {"ns.coll": self.document.collection_name()}
        if not self.in_crowd:
            return [where]
        return [
            {**where, "operationType": {"$in": list(kinds)}, f"{part}.{self.field}": _THERE}
            for kinds, part in zip((_WHOLE, _PARTLY), _PARTS, strict=True)
        ]

    def expression(self) -> Raw:
        """Whether a change is one of these."""
        whole, partly = _PARTS
        written = {
            "$or": [
                _all({"$in": ["$operationType", _WHOLE]}, _is_there(whole, self.field)),
                _all(
                    {"$in": ["$operationType", _PARTLY]},
                    _is_there(partly, self.field),
                    *({"$not": [_is_there(partly, name)]} for name in self.but),
                ),
            ]
        }
        return _all({"$eq": ["$ns.coll", self.document.collection_name()]}, written)

    def moment(self, change: Mapping[str, Any]) -> datetime:
        """When what was written is to be done."""
        written = change.get("fullDocument") or change.get("updateDescription", {}).get(
            "updatedFields", {}
        )
        at = written.get(self.field)
        return at if isinstance(at, datetime) else now()


@dataclass
class Watch:
    """The change stream of a worker, and the bells that it rings.

    Args:
        names: what is rung, by what is watched: a kind of job, or another name that a loop listens
            to.
        bells: to be rung by these names.
    """

    names: Mapping[str, Sequence[Watched]]
    bells: Sequence[Bell]
    _told: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._follow()
            except Exception as error:  # whatever it is, the next stream may be sound
                self._tell(error)
            self._serve(served=False)
            if asyncio.get_running_loop().time() - began > _STEADY_SECONDS:
                failures = 0
            failures += 1
            await asyncio.sleep(_REOPEN.after(failures).total_seconds())

    async def _follow(self) -> None:
        """Ring for each change until the stream ends."""
        async with await self._open() as stream:
            self._serve(served=True)
            self._told = False
            self._ring_all()  # what came before it was open
            while stream.alive:
                async with asyncio.timeout(_AWAIT_SECONDS + _DEAF_SECONDS):
                    change = await stream.try_next()
                if change is not None:
                    self._ring(change)
                    if not stream._cursor._data:  # the driver has no more of this batch
                        await asyncio.sleep(_GATHER_SECONDS)

    async def _open(self) -> AsyncChangeStream[Raw]:
        """A stream of all that is watched: what is none of it leaves the database as little as
        possible.

        Each entry of the oplog is asked whether it could be any, by little; what passes is then
        looked at closely, by an expression. MongoDB would ask a condition of each entry whole,
        which doubles what an event costs.
        """
        watched = {each for several in self.names.values() for each in several}
        fields = {f"{part}.{each.field}": 1 for each in watched for part in _PARTS}
        pipeline: list[Raw] = [
            {"$match": {"$or": [each for one in watched for each in one.patterns()]}},
            {"$set": {"isWatched": {"$or": [each.expression() for each in watched]}}},
            {"$match": {"isWatched": True}},
            {"$project": {"ns": 1, "operationType": 1, "documentKey": 1, **fields}},
        ]
        database = next(iter(watched)).document.raw().database
        return await database.watch(pipeline, max_await_time_ms=int(_AWAIT_SECONDS * 1000))

    def _ring(self, change: Mapping[str, Any]) -> None:
        collection = change["ns"]["coll"]
        for name, several in self.names.items():
            for each in several:
                if each.document.collection_name() == collection:
                    for bell in self.bells:
                        bell.ring(name, each.moment(change))

    def _ring_all(self) -> None:
        moment = now()
        for bell in self.bells:
            for name in self.names:
                bell.ring(name, moment)

    def _serve(self, *, served: bool) -> None:
        for bell in self.bells:
            bell.is_served = served
            bell.wake()

    def _tell(self, error: Exception) -> None:
        if not self._told:
            log.warning(
                "changes cannot be watched; the worker looks for work by itself",
                error=type(error).__name__,
            )
            self._told = True


def _all(*conditions: Raw) -> Raw:
    return {"$and": list(conditions)}


def _is_there(part: str, name: str) -> Raw:
    return {"$ne": [{"$type": f"${part}.{name}"}, "missing"]}


_PARTS: Final = ("fullDocument", "updateDescription.updatedFields")
_WHOLE: Final = ("insert", "replace")
_PARTLY: Final = ("update",)
_THERE: Final[Raw] = {"$exists": True}
