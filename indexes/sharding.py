"""How collections are spread over a sharded cluster: the shard key of each that grows without a
bound, why the others stay together, and which queries ask every shard.

`python -m scripts shard` prints the commands and sees whether a cluster has them (docs/scaling.md);
`tests/indexes/test_sharding.py` proves that unique indexes, writes and queries agree with the keys.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from indexes.index import SHARD_INDEX
from models import (
    Activity,
    Analytics,
    AppData,
    AppUsage,
    AuditEvent,
    AuthIdentity,
    BankAccount,
    Card,
    CardEvent,
    Person,
    Preferences,
    Profile,
    PropertyValue,
    RefreshToken,
    Stored,
    Transaction,
    User,
    VisitSession,
    WebhookEvent,
)
from models.base import Raw


@dataclass(frozen=True, slots=True)
class ShardKey:
    """The shard key of a collection.

    Attributes:
        fields: in order; every unique index begins with them.
        why: what lies together by it.
        needs_index: no index of ours does; `shard plan` makes one, called `shard_key`.
        scatters: the queries that ask every shard, as `<verb> <fields compared>`, and why they may.
    """

    fields: tuple[str, ...]
    why: str
    needs_index: bool = False
    scatters: Mapping[str, str] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, int]:
        """As `shardCollection` takes it."""
        return dict.fromkeys(self.fields, 1)


@dataclass(frozen=True, slots=True)
class Zone:
    """The events of one app lie on the shards of a zone.

    Attributes:
        name: of the zone.
        app_id: of the app.
    """

    name: str
    app_id: str


_DUPLICATES: Final = "before a unique index is built, its documents are all looked at"
_JOB: Final = "a job of the worker, which reads a bounded number of each shard's by an index"
_PURGE: Final = "the purge of tombstones, a bounded number of one app's at a time"
_PAGE: Final = "of a page that an index has named: at most 200 documents"
_OVERVIEW: Final = "for admins, by an index, at most a page"
_COUNTS: Final = (
    "counts of raw events where no rollup answers: each shard counts its own by an index"
)
_ONE: Final = "one document by its `_id`, which every shard looks up in its own index"

SHARD_KEYS: Final[dict[type[Stored], ShardKey]] = {
    AppData: ShardKey(
        ("userId",),
        "what apps keep of one person, in the order of one shard's clock: what `changes` promises"
        " does not depend on the clocks of others",
        scatters={
            "aggregate -": f"{_DUPLICATES}; `data stats` reads everything",
            "find _id": f"values for `changes`, {_PAGE}",
            "find _id, appId": "the check of an app's schemas, page by page",
            "find appId": "the check of an app's schemas, page by page",
            "find appId, deleted": "declared queries are built, page by page",
            "find expiresAt, setAsideUntil": _JOB,
            "update many _id, expiresAt": _JOB,
            "update one _id, version": _JOB,
            "update many _id": "a merge of two people, which a cluster refuses",
            "find appId, changedAt, deleted": _PURGE,
            "delete many _id, changedAt, deleted": _PURGE,
            "update many _id, changedAt, deleted": _PURGE,
            "update many _id, deleted, history": _PURGE,
        },
    ),
    AppUsage: ShardKey(
        ("userId",), "beside the values that it is about", scatters={"aggregate -": _DUPLICATES}
    ),
    Profile: ShardKey(("userId",), "one to a user", scatters={"aggregate -": _DUPLICATES}),
    Preferences: ShardKey(("userId",), "one to a user", scatters={"aggregate -": _DUPLICATES}),
    Activity: ShardKey(
        ("userId",),
        "ninety days of one person",
        scatters={"delete many _id": f"the sweep of a deletion, {_PAGE}"},
    ),
    Analytics: ShardKey(
        ("appId", "messageId"),
        "nothing: the events of an app are spread by their messages, and one that is sent again"
        " finds itself",
        needs_index=True,
        scatters={
            "aggregate messageId": _DUPLICATES,
            "aggregate timestamp": _COUNTS,
            "aggregate timestamp, userId": _COUNTS,
            "aggregate eventCategory, timestamp": _COUNTS,
            "aggregate eventName, timestamp": _COUNTS,
            "find _id": "which of a command's events are stored, where it was held up",
            "find receivedAt": "the rollups' next window: each shard gives its part in order",
            "find userId": "the events of one person, page by page",
        },
    ),
    Transaction: ShardKey(
        ("bankAccountId",),
        "what one bank account moved",
        scatters={
            "aggregate -": _DUPLICATES,
            "update many _id": f"a sync marks what is gone, {_PAGE}",
            "update one _id": _ONE,
        },
    ),
    CardEvent: ShardKey(
        ("subject",),
        "the events of one card, in their order",
        scatters={
            "aggregate -": _DUPLICATES,
            "aggregate state": _OVERVIEW,
            "find state": _OVERVIEW,
            "find accountId, state": _OVERVIEW,
            "find accountId, sequence, state, subject": _OVERVIEW,
            "find accountId, sequence, state, subject, updatedAt": _OVERVIEW,
            "find accountId, state, updatedAt": _OVERVIEW,
            "aggregate accountId, state, updatedAt": _OVERVIEW,
            "find fanOutAfter": _JOB,
            "update one _id": _ONE,
            "update one _id, fanOutAfter": _ONE,
            "update one _id, state": _ONE,
        },
    ),
}
"""Every other collection stays together, on the shard that its database was made on."""

REFUSED: Final = {
    ("appdata", "update many _id"): "a merge of two people: values become another person's",
}
"""Writes that a cluster refuses, by collection and shape, and what cannot be done there so."""

TOGETHER: Final[dict[type[Stored], str]] = {
    User: "an email is one person's among all, which only an index of one shard can hold",
    AuthIdentity: "so is an identity of a provider",
    RefreshToken: "so is a token; sessions end by themselves",
    Person: "numbered without gaps; small, and read by few",
    PropertyValue: "counted anew as a whole; its days are bounded",
    VisitSession: "written by the worker alone, and gone when its events are archived",
    AuditEvent: "kept for a settable time",
    BankAccount: "a handful to a person who has linked a bank",
    Card: "found by account, user, spending profile and `_id` alike",
    WebhookEvent: "claimed by `_id` alone; gone after thirty days",
}
"""Collections that grow with people and still stay together, and why."""


def commands(database: str, zones: Sequence[Zone] = ()) -> Iterator[str]:
    """The commands for mongosh that shard a database's collections, in order.

    Args:
        database: its name.
        zones: of apps; shards are put into them by `sh.addShardToZone`.
    """
    for document, key in SHARD_KEYS.items():
        collection, fields = document.collection_name(), _spelt(key.document)
        if key.needs_index:
            made = f'createIndex({fields}, {{name: "{SHARD_INDEX}"}})'
            yield f'db.getSiblingDB("{database}").{collection}.{made}'
        yield f'sh.shardCollection("{database}.{collection}", {fields})'
    events = f"{database}.{Analytics.collection_name()}"
    for zone in zones:
        least, most = (
            f'{{appId: "{zone.app_id}", messageId: {bound}()}}' for bound in ("MinKey", "MaxKey")
        )
        yield f'sh.updateZoneKeyRange("{events}", {least}, {most}, "{zone.name}")'


def drift(database: str, known: Iterable[Raw]) -> list[str]:
    """What is otherwise than declared in a cluster, in sentences.

    Args:
        database: its name.
        known: the documents of `config.collections`.
    """
    stored = {
        row["_id"]: dict(row["key"])
        for row in known
        if row["_id"].startswith(f"{database}.") and not row.get("unsplittable")
    }
    wanted: dict[str, Any] = {
        f"{database}.{document.collection_name()}": key.document
        for document, key in SHARD_KEYS.items()
    }
    missing = [f"{name} is not sharded" for name in wanted if name not in stored]
    other = [
        f"{name} is sharded by {_spelt(stored[name])}, not by {_spelt(wanted[name])}"
        for name in wanted
        if name in stored and list(stored[name].items()) != list(wanted[name].items())
    ]
    more = [f"{name} is sharded, and should not be" for name in stored if name not in wanted]
    return [*missing, *other, *more]


def _spelt(key: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {direction}" for name, direction in key.items()) + "}"
