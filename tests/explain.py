"""Explains every query that a client sends: which scan a collection, which sort in memory (design,
guarantee 7)?"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from indexes.definitions import INDEXES
from indexes.duplicates import looking, selected
from indexes.index import Index
from indexes.stats import shape
from models.base import Raw


def _shape(command: Raw) -> str:
    return shape({"op": "command", "command": command})


def _look(index: Index) -> Raw:
    return {"aggregate": "", "pipeline": looking(index)}


def _served(index: Index, table: Sequence[Index]) -> bool:
    """Whether an index begins with what selects the documents of a unique one, and has them all."""
    wanted = selected(index)
    return any(
        next(iter(other.keys)) in wanted
        and ("sparse" in other.options or selected(other).items() <= wanted.items())
        for other in table
    )


ALLOWED: Final[dict[str, str]] = {
    "appdata: COLLSCAN: aggregate [$group, $sort {bytes: -1}]": (
        "app_data_expiry.version_stats: `python -m scripts data stats` counts the whole collection"
        " on purpose"
    ),
    **{
        f"{document.collection_name()}: COLLSCAN: {_shape(_look(index))}": (
            "indexes.duplicates.find_duplicates: before a unique index is built, its documents are"
            " all looked at"
        )
        for document, table in INDEXES.items()
        for index in table
        if index.options.get("unique") and not _served(index, table)
    },
}
"""Offences that are meant, each with its reason."""

_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "find": (
        "filter",
        "sort",
        "projection",
        "skip",
        "limit",
        "hint",
        "collation",
        "let",
        "min",
        "max",
    ),
    "aggregate": ("pipeline", "hint", "collation", "let", "allowDiskUse"),
    "count": ("query", "limit", "skip", "hint", "collation"),
    "distinct": ("key", "query", "hint", "collation"),
    "findAndModify": (
        *("query", "sort", "update", "remove", "new", "fields"),
        *("upsert", "arrayFilters", "hint", "collation", "let"),
    ),
    "update": ("updates", "let"),
    "delete": ("deletes", "let"),
}
"""What of each command is explained. The rest (session, transaction, concerns, times) has no part
in the plan."""
_PLANS: Final = CodecOptions[Any](datetime_conversion=DatetimeConversion.DATETIME_AUTO)
"""The bounds of an open range of times are times that Python has none for."""

_NAMES: Final = frozenset(
    {*_FIELDS, "key", "from", "coll", "$unionWith", "foreignField", "connectToField"}
)
_WRITTEN: Final = frozenset({"u", "update", "fields", "projection"})
# Their input is the server's state or the oplog, not documents of ours.
_SOURCES: Final = frozenset(
    {"$changeStream", "$collStats", "$currentOp", "$indexStats", "$listSessions", "$documents"}
)
_GROUPS: Final = frozenset({"$group", "$bucket", "$bucketAuto", "$sortByCount", "$count"})
_CHILDREN: Final = (
    "queryPlan",
    "inputStage",
    "inputStages",
    "thenStage",
    "elseStage",
    "innerStage",
    "outerStage",
)
_EVERYTHING: Final = (["[MinKey, MaxKey]"], ["[MaxKey, MinKey]"])


class QueryRecorder(CommandListener):
    """Keeps one command of each shape that a client sends: which fields are compared, by what, with
    which types.

    Commands of transactions are among them. `getMore` is not: it goes on with a plan that is
    recorded; nor is what carries no filter.
    """

    def __init__(self) -> None:
        self.commands: dict[str, Raw] = {}

    def started(self, event: CommandStartedEvent) -> None:
        if event.database_name in ("admin", "config", "local"):
            return
        for command in _single(event.command_name, event.command):
            key = json.dumps(_typed(command), default=str)
            if key not in self.commands:
                self.commands[key] = copy.deepcopy(command)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


async def offences(
    database: AsyncDatabase[Raw], recorder: QueryRecorder, *, allowed: Mapping[str, str] = ALLOWED
) -> list[str]:
    """What is wrong with the plans of the recorded commands: `activities: SORT: find {userId: ?}
    sort {at: -1}`.

    An offence is

    - COLLSCAN, anywhere;
    - SORT of documents. Sorting what was grouped is none: groups come in no order, and are few;
    - an IXSCAN over a whole index, unless a limit ends it and no filter comes after it: a scan by
      another name;
    - a command that cannot be explained.

    Args:
        database: with all indexes and enough documents that the planner has a choice; need not be
            the one recorded.
        recorder: what was sent.
        allowed: offences to leave out.
    """
    found: dict[str, None] = {}
    for recorded in tuple(recorder.commands.values()):  # others may go on recording
        for command in (recorded, *_joined(recorded.get("pipeline", []))):
            for problem in await _problems(database, command):
                found[f"{_collection(command)}: {problem}: {_described(command)}"] = None
    return [line for line in found if line not in allowed]


def _single(name: str, command: Mapping[str, Any]) -> Iterator[Raw]:
    """The queries of a command; those of updates and deletes, which hold several, one by one."""
    if (
        name not in _FIELDS
        or not isinstance(command[name], str)
        or command[name].startswith("system.")
    ):
        return
    if name == "aggregate" and command["pipeline"] and _SOURCES & command["pipeline"][0].keys():
        return
    kept = {field: command[field] for field in (name, *_FIELDS[name]) if field in command}
    statements = {"update": "updates", "delete": "deletes"}.get(name)
    if statements is None:
        yield kept
    else:
        yield from ({**kept, statements: [statement]} for statement in command[statements])


def _typed(value: Any) -> Any:
    """A command with values replaced by their types, so that equal shapes are equal; what is
    written is left out."""
    if isinstance(value, Mapping):
        return {
            name: part if name in _NAMES and isinstance(part, str) else _typed(part)
            for name, part in value.items()
            if name not in _WRITTEN or isinstance(part, str)
        }
    if isinstance(value, list | tuple):
        return [
            json.loads(part) for part in dict.fromkeys(json.dumps(_typed(part)) for part in value)
        ]
    if isinstance(value, bool) or value in (-1, 0, 1):
        return value
    return value if isinstance(value, str) and value.startswith("$") else type(value).__name__


def _joined(pipeline: list[Raw]) -> Iterator[Raw]:
    """The queries that a pipeline runs on other collections, of which `explain` does not show the
    plans."""
    for stage in pipeline:
        name, body = next(iter(stage.items()))
        if name == "$facet":
            for part in body.values():
                yield from _joined(part)
        elif name in ("$lookup", "$graphLookup", "$unionWith"):
            spec: Raw = {"from": body} if isinstance(body, str) else body
            equal = spec.get("foreignField") or spec.get("connectToField")
            part = ([{"$match": {equal: ObjectId()}}] if equal else []) + spec.get("pipeline", [])
            if collection := spec.get("from") or spec.get("coll"):
                variables = dict.fromkeys(spec.get("let", {}), ObjectId())
                yield {"aggregate": collection, "pipeline": part, "let": variables}
            yield from _joined(part)


async def _problems(database: AsyncDatabase[Raw], command: Raw) -> list[str]:
    explained = {**command, "cursor": {}} if "aggregate" in command else command
    try:
        answer = await database.command(
            {"explain": explained, "verbosity": "queryPlanner"}, codec_options=_PLANS
        )
    except OperationFailure as error:
        return [f"cannot be explained (code {error.code})"]
    stages = answer.get("stages", [])
    planner = answer.get("queryPlanner") or next(
        (s["$cursor"]["queryPlanner"] for s in stages if "$cursor" in s), None
    )
    if planner is None:
        return ["cannot be explained (no plan in the answer)"]
    winning = planner["winningPlan"]
    one = "findAndModify" in command
    found = [problem for node, above in _walk(winning) if (problem := _problem(node, above, one))]
    grouped = any(node.get("stage") == "GROUP" for node, _ in _walk(winning))
    return list(dict.fromkeys([*found, *_sorts(stages, grouped)]))


def _walk(node: Raw, above: tuple[Raw, ...] = ()) -> Iterator[tuple[Raw, tuple[Raw, ...]]]:
    yield node, above
    for name in _CHILDREN:
        children = node.get(name, [])
        for child in children if isinstance(children, list) else [children]:
            yield from _walk(child, (*above, node))


def _problem(node: Raw, above: tuple[Raw, ...], one: bool) -> str | None:
    stage = node.get("stage")
    if stage == "COLLSCAN":
        return "COLLSCAN"
    if stage == "SORT" and not any(below.get("stage") == "GROUP" for below, _ in _walk(node)):
        return "SORT"
    if stage == "IXSCAN" and next(iter(node["indexBounds"].values()), None) in _EVERYTHING:
        limited = one or any(parent.get("stage") == "LIMIT" for parent in above)
        if not limited or any("filter" in part for part in (node, *above)):
            return f"IXSCAN of all of {node['indexName']}"
    return None


def _sorts(stages: list[Raw], grouped: bool) -> Iterator[str]:
    for stage in stages:
        name, body = next(iter(stage.items()))
        grouped = grouped or name in _GROUPS
        if name == "$sort" and not grouped:
            yield "SORT"
        if name == "$facet":
            for part in body.values():
                yield from _sorts(part, grouped)


def _collection(command: Raw) -> str:
    return str(next(iter(command.values())))


def _described(command: Raw) -> str:
    name = next(iter(command))
    statement = (command.get("updates") or command.get("deletes") or [{}])[0]
    return _shape({name: "", **command, **statement})
