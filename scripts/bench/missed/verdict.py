"""What `bench-nothing-missed` finds in the end: pollers' pictures beside what the database has."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from models.base import Raw
from scripts.bench.missed.journal import Journal
from scripts.bench.missed.pollers import Poller
from scripts.bench.missed.writers import GROUP

CARELESS = "without overlap"


@dataclass(slots=True)
class Truth:
    """What the database has of one person: version and value of what lives, and every version."""

    live: dict[str, tuple[int, Any]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Kind:
    """What was found of the pollers of one kind.

    Attributes:
        pollers: how many there were.
        polls: answers that they got.
        told: events that they heard.
        cuts: connections that were cut.
        anew: times that a cursor had expired.
        missed: keys of which a picture is not what the database has.
        unseen: versions that were acknowledged, and neither seen nor replaced.
        halves: passes that showed an atomic batch by half.
        stale: passes without something that was acknowledged before they began.
    """

    pollers: int = 0
    polls: int = 0
    told: int = 0
    cuts: int = 0
    anew: int = 0
    missed: int = 0
    unseen: int = 0
    halves: int = 0
    stale: int = 0


@dataclass(slots=True)
class Verdict:
    """The whole of it.

    Attributes:
        writes: what was done, by kind.
        acknowledged: versions.
        keys: that these are of.
        purged: keys of them whose tombstones are gone.
        kinds: of pollers.
        lost: what was acknowledged, and is not there.
        twice: versions that two writes have made.
        faults: answers that nobody should get.
    """

    writes: dict[str, int]
    acknowledged: int
    keys: int
    purged: int
    kinds: dict[str, Kind]
    lost: list[str]
    twice: list[str]
    faults: list[str]

    @property
    def is_sound(self) -> bool:
        """Whether nothing was missed, lost, seen by half or made twice."""
        sound = (each for name, each in self.kinds.items() if name != CARELESS)
        return not (self.lost or self.twice or self.faults) and not any(
            each.missed or each.unseen or each.halves for each in sound
        )

    @property
    def is_real(self) -> bool:
        """Whether the run would have told: who polls without overlap has missed something."""
        return self.kinds[CARELESS].missed + self.kinds[CARELESS].stale > 0

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "sound": self.is_sound, "real": self.is_real}


def truth_of(rows: Iterable[Raw]) -> dict[str, Truth]:
    """What the database has, by user."""
    found: dict[str, Truth] = {}
    for row in rows:
        truth = found.setdefault(str(row["userId"]), Truth())
        truth.versions[row["dataKey"]] = row["version"]
        if not row["deleted"]:
            truth.live[row["dataKey"]] = (row["version"], row["value"])
    return found


def missed(poller: Poller, truth: Truth) -> set[str]:
    """The keys of which a poller's picture is not what the database has."""
    live = poller.picture.live
    return {key for key in live.keys() | truth.live.keys() if live.get(key) != truth.live.get(key)}


def judge(journal: Journal, pollers: Iterable[Poller], rows: Iterable[Raw]) -> Verdict:
    """The verdict."""
    truths = truth_of(rows)
    kinds: dict[str, Kind] = {}
    for poller in pollers:
        kind, truth = kinds.setdefault(poller.name, Kind()), truths.get(poller.person.id, Truth())
        kind.pollers += 1
        for name in ("polls", "told", "cuts", "anew", "stale"):
            setattr(kind, name, getattr(kind, name) + getattr(poller, name))
        kind.halves += poller.picture.halves
        kind.missed += len(missed(poller, truth))
        kind.unseen += _unseen(journal, poller, truth)
    return Verdict(
        writes=dict(journal.counts.most_common()),
        acknowledged=journal.versions,
        keys=len(journal.made),
        purged=sum(
            key not in truths.get(user_id, Truth()).versions for user_id, key in journal.made
        ),
        kinds=kinds,
        lost=_lost(journal, truths),
        twice=journal.twice,
        faults=journal.faults[:20],
    )


def _unseen(journal: Journal, poller: Poller, truth: Truth) -> int:
    """Versions that were acknowledged, and neither seen nor replaced: of keys that are gone without
    a tombstone nothing can be known any more, and nothing is to be had."""
    return sum(
        1
        for (user_id, key), made in journal.made.items()
        if user_id == poller.person.id and (key in truth.live or key in poller.picture.live)
        for version in made
        if version > poller.picture.rows.get(key, (0, None))[0]
    )


def _lost(journal: Journal, truths: dict[str, Truth]) -> list[str]:
    """What was acknowledged and is not there: neither the version, with its value, nor a later
    one."""
    lost = []
    for (user_id, key), made in journal.made.items():
        truth, newest = truths.get(user_id, Truth()), max(made)
        has = truth.versions.get(key)
        if has is not None and has < newest:
            lost.append(f"version {newest} of {key}: {has} is stored")
        elif has == newest and key in truth.live:
            mark = made[newest].removesuffix(f".{key}") if key in GROUP else made[newest]
            if truth.live[key][1] != {"by": mark}:
                lost.append(f"version {newest} of {key} has another value")
    return lost
