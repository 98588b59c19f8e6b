"""What must hold after a soak: each check says what it found, and whether that is right."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from bson import ObjectId
from pymongo.database import Database

from scripts.bench.soak.client import Client
from scripts.bench.soak.faults import Fault
from scripts.bench.soak.load import APP, Journal
from scripts.bench.soak.plant import Planted
from scripts.bench.soak.program import Fleet, Life
from scripts.bench.soak.receiver import Delivery
from scripts.bench.soak.watch import Watch

Raw = dict[str, Any]
LATE_SECONDS: Final = 60.0
_WARM_UP, _LONG_ENOUGH = 60.0, 120.0
_GROWTH_MIB: Final = 40.0
_AROUND: Final = 90.0
"""Seconds after a fault within which it explains that a delivery was not noted: for a minute the
database keeps the transaction of one that was killed or frozen, and who would write the same fails;
sending and noting take their time."""
_NOTED: Final = 20.0
_OF_PEOPLE: Final = (
    "activities",
    "appdata",
    "analytics",
    "profiles",
    "preferences",
    "appusage",
    "externalids",
)
_SET_ASIDE, _DIFFERED = b'"a row was set aside"', b'"rollups differed from the events"'


@dataclass(slots=True)
class Finding:
    """What a check found. `holds` is None where there was nothing to judge by."""

    name: str
    told: str
    holds: bool | None = True
    faults: list[str] = field(default_factory=list)

    def row(self) -> Raw:
        """For JSON."""
        return {"check": self.name, "holds": self.holds, "found": self.told, "faults": self.faults}


def judged(name: str, told: str, faults: Sequence[str]) -> Finding:
    """A finding that holds where there are no faults."""
    return Finding(name, told, not faults, list(faults)[:10])


def pending(database: Database[Raw], journal: Journal, planted: Planted, over: datetime) -> bool:
    """Whether something is still to be done of what was begun before the load was over."""
    gone = [ObjectId(user) for user in journal.deleted]
    state = database.rollupstate.find_one() or {"asOf": over - timedelta(days=1)}
    soon = {"$lt": over + timedelta(hours=1)}
    return (
        _has(
            database.analytics, {"receivedAt": {"$gte": state["asOf"]}}
        )  # with nothing to count it need not move
        or _has(
            database.cardqueues, {"waiting": {"$gt": 0}, "_id": {"$nin": planted.ids("cardqueues")}}
        )
        or _has(database.cardevents, {"fanOutAfter": {"$exists": True}, "type": {"$ne": "x"}})
        or _has(
            database.appdata,
            {"expiresAt": soon, "deleted": False, "_id": {"$nin": planted.ids("appdata")}},
        )
        or database.deletions.count_documents({"_id": {"$in": gone}, "final": True}) < len(gone)
    )


def _has(collection: Any, where: Raw) -> bool:
    return collection.find_one(where, {"_id": 1}) is not None


def check_events(database: Database[Raw], journal: Journal, mended: Raw, figures: Raw) -> Finding:
    """Every event that was acknowledged is there, once, and the figures are those of a recount."""
    where: Raw = {"appId": APP}
    stored = Counter(row["messageId"] for row in database.analytics.find(where, {"messageId": 1}))
    lost = journal.events - stored.keys()
    names = {row["_id"]: row["n"] for row in database.analytics.aggregate([
        {"$match": where}, {"$group": {"_id": "$eventName", "n": {"$sum": 1}}},
    ])}  # fmt: skip
    faults = [f"{len(lost)} events were lost"] * bool(lost)
    faults += [f"{name} is there {count} times" for name, count in stored.items() if count > 1]
    faults += [f"the recount mended {mended}"] * bool(mended)
    faults += [f"figures {figures}, events {names}"] * (figures != names)
    told = (
        f"{len(journal.events):,} acknowledged, {sum(stored.values()):,} stored,"
        f" {sum(figures.values()):,} counted"
    )
    return judged("figures are exact", told, faults)


def check_card_events(
    database: Database[Raw],
    journal: Journal,
    deliveries: Sequence[Delivery],
    faults_done: Sequence[Fault],
) -> list[Finding]:
    """Every card event was delivered, once but for explained repeats, in the order of its card."""
    rows = {str(row["_id"]): row for row in database.cardevents.find({"type": {"$ne": "x"}})}
    taken: defaultdict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        taken[delivery.event_id].append(delivery)
    waiting = [
        f"{row_id} is {row['state']}" for row_id, row in rows.items() if row["state"] != "delivered"
    ]
    missing = [f"{row_id} was not delivered" for row_id in rows if row_id not in taken]
    strange = [f"{event_id} is no event" for event_id in taken if event_id not in rows]
    repeats = {event_id: found for event_id, found in taken.items() if len(found) > 1}
    odd = [
        f"{event_id} came twice for no reason"
        for event_id, found in repeats.items()
        if not _why(found, faults_done)
    ]
    told = (
        f"{len(rows):,} events, {len(taken):,} delivered, {len(repeats)} repeated by a sender that"
        " was cut short"
    )
    return [
        judged("card events are delivered once", told, [*waiting, *missing, *strange, *odd]),
        _in_order(rows, taken),
        _one_for_each_change(rows, journal),
    ]


def _why(found: list[Delivery], faults: Sequence[Fault]) -> bool:
    """Whether a fault came between a delivery and its note, for each but the last."""
    return all(
        any(
            fault.start <= delivery.at + _NOTED and delivery.at - _AROUND <= fault.end
            for fault in faults
        )
        for delivery in found[:-1]
    )


def _in_order(rows: Raw, taken: dict[str, list[Delivery]]) -> Finding:
    first = sorted((found[0] for found in taken.values()), key=lambda delivery: delivery.at)
    last: dict[str, int] = {}
    faults = []
    for delivery in first:
        if delivery.sequence != last.get(delivery.subject, 0) + 1:
            faults.append(
                f"{delivery.subject}: {delivery.sequence} after {last.get(delivery.subject, 0)}"
            )
        last[delivery.subject] = delivery.sequence
    return judged(
        "in the order of their cards",
        f"{len(last)} cards and profiles, {len(rows):,} events",
        faults,
    )


def _one_for_each_change(rows: Raw, journal: Journal) -> Finding:
    """A change of a card is told once, and that of a profile once for itself and once for each of
    its cards."""
    made: Counter[str] = Counter()
    for row in rows.values():
        limits_alone = row["changed"] == ["effectiveLimits"]
        if row["type"].endswith(".updated") and not limits_alone:
            made[str(row["subject"])] += 1
    faults = [
        f"{subject}: {count} changes, {made[subject]} events"
        for subject, count in journal.changes.items()
        if made[subject] != count
    ]
    return judged("each change is told once", f"{journal.changes.total():,} changes", faults)


def check_values(database: Database[Raw], journal: Journal, planted: Planted) -> Finding:
    """Every value that ended is a tombstone with the next version, and no other is."""
    rows = {
        row["dataKey"]: row
        for row in database.appdata.find({"_id": {"$nin": planted.ids("appdata")}})
    }
    faults = []
    for key, value in journal.values.items():
        row = rows.get(key)
        expected = (value.ends, value.version + value.ends)
        if row is None or (row["deleted"], row["version"]) != expected:
            faults.append(f"{key}: {row and (row['deleted'], row['version'])}, not {expected}")
    ended = sum(value.ends for value in journal.values.values())
    told = f"{ended:,} ended once, {len(journal.values) - ended:,} are kept"
    return judged("values end once", told, faults)


def check_people(database: Database[Raw], journal: Journal) -> Finding:
    """Of those who were deleted nothing is left, and of the others nothing is gone."""
    gone = [ObjectId(user) for user in journal.deleted]
    faults = []
    for name in _OF_PEOPLE:
        if left := database[name].count_documents({"userId": {"$in": gone}}):
            faults.append(f"{left} {name} of deleted people are left")
    final = database.deletions.count_documents({"_id": {"$in": gone}, "final": True})
    faults += [f"{len(gone) - final} receipts are not final"] * (final != len(gone))
    for user, count in journal.activities.items():
        found = database.activities.count_documents({"userId": ObjectId(user)})
        faults += [f"{user}: {count} activities acknowledged, {found} stored"] * (found != count)
    told = f"{len(gone)} deleted, {journal.activities.total():,} activities of the others"
    return judged("people go whole, and stay whole", told, faults)


def check_jobs(database: Database[Raw], planted: Planted, watch: Watch) -> list[Finding]:
    """No job waited for longer than a minute while something could run, and none has an error now.

    For a minute the database keeps the transaction of one that was killed: who would write the
    same, and queues that such a one holds, may wait for another.
    """
    late = [
        f"{name} waited {seconds:.0f} s"
        for name, seconds in watch.jobs.items()
        if seconds > LATE_SECONDS
    ]
    slow = [
        f"{name} waited {seconds:.0f} s"
        for name, seconds in watch.queues.items()
        if seconds > 2 * LATE_SECONDS
    ]
    held = [
        f"{name} waited {seconds:.0f} s"
        for name, seconds in watch.held.items()
        if seconds > 2 * LATE_SECONDS
    ]
    where = {"lastError": {"$exists": True}, "_id": {"$nin": planted.ids("jobs")}}
    failed = [f"{row['_id']}: {row['lastError']}" for row in database.jobs.find(where)]
    return [
        judged("no job is late", _longest(watch.jobs), late),
        judged("none waits long for the transaction of the dead", _longest(watch.held), held),
        judged("no queue is late", _longest(watch.queues), slow),
        judged("no job has failed last", f"{database.jobs.count_documents({})} jobs", failed),
    ]


def _longest(waits: dict[str, float]) -> str:
    name = max(waits, key=lambda name: waits[name], default="nobody")
    return f"the longest wait was {waits.get(name, 0):.0f} s, of {name}"


def check_memory(fleet: Fleet) -> Finding:
    """What a process has in memory at its end is little more than after its first minute."""
    grown = {}
    for program in fleet.programs:
        growths = [growth for life in program.lives if (growth := _growth(life)) is not None]
        if growths:
            grown[program.name] = max(growths)
    if not grown:
        return Finding("memory is flat", "no process lived for two minutes", None)
    faults = [f"{name} grew by {mib:.0f} MiB" for name, mib in grown.items() if mib > _GROWTH_MIB]
    told = ", ".join(f"{name} {mib:+.0f} MiB" for name, mib in grown.items())
    return judged("memory is flat", told, faults)


def _growth(life: Life) -> float | None:
    if not life.memory or life.memory[-1][0] < _LONG_ENOUGH:
        return None
    warm = next(mib for age, mib in life.memory if age >= min(_WARM_UP, life.memory[-1][0]))
    return life.memory[-1][1] - warm


def _told_by_logs(fleet: Fleet) -> tuple[set[tuple[str, str]], list[str]]:
    """What was set aside, by collection and row, and what recounts found to differ."""
    told_aside, differed = set[tuple[str, str]](), []
    for program in fleet.programs:
        for line in program.log.read_bytes().splitlines():
            if _SET_ASIDE in line:
                row = orjson.loads(line)
                told_aside.add((row["collection"], row["row"]))
            elif _DIFFERED in line:
                differed.append(line.decode(errors="replace")[:300])
    return told_aside, differed


def check_logs(fleet: Fleet, planted: Planted) -> list[Finding]:
    """Nothing was set aside but what was planted, and nobody ended by themselves."""
    told_aside, differed = _told_by_logs(fleet)
    strange = [f"{name} {row_id}" for name, row_id in told_aside - planted.rows]
    unseen = [f"{name} {row_id} was not" for name, row_id in planted.rows - told_aside]
    ended = [
        f"{program.name} ended {program.ended} times" for program in fleet.programs if program.ended
    ]
    told = f"{len(planted.rows)} rows planted, {len(told_aside & planted.rows)} of them set aside"
    return [
        judged("what is odd is set aside, and nothing else", told, strange + unseen),
        judged("no recount differed on the way", f"{len(differed)} did", differed),
        judged(
            "no process ended by itself",
            f"{sum(len(each.lives) for each in fleet.programs)} were started",
            ended,
        ),
    ]


def check_unreadable(unreadable: dict[str, int], planted: Planted) -> Finding:
    """`integrity check` finds the planted rows that cannot be read, and no others."""
    known = Counter(name for name, _ in planted.rows)
    faults = [
        f"{count} in {name}, planted {known[name]}"
        for name, count in unreadable.items()
        if count > known[name]
    ]
    return judged("no other row is unreadable", f"{sum(unreadable.values())} found", faults)


def check_answers(client: Client, journal: Journal, database: Database[Raw]) -> list[Finding]:
    """Nobody got a fault of ours, and what was set aside of events is what was odd."""
    aside = database.quarantine.count_documents({})
    wrong = [f"{aside} events were set aside, {journal.odd_events} were odd"] * (
        aside != journal.odd_events
    )
    told = ", ".join(f"{count:,} {status}" for status, count in client.statuses.most_common())
    return [
        judged("no answer is a fault", told, client.faults),
        judged("odd events are set aside", f"{aside}", wrong),
    ]
