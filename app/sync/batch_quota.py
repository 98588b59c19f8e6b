"""Quotas in batches: a write that would be too much says so for itself, and the others are done."""

from collections.abc import Iterable, Sequence

from app.app_data.quotas import Growth, Rooms
from app.sync.batch_decisions import Decision, Status
from app.web.observability.measures import QUOTA_REFUSALS
from models.app import Quota
from models.app_data_batch import Pinned, Place

_DETAIL = "the app keeps as much of this person as it may: delete, or shrink, something"


async def hold_to_quota(
    rooms: Rooms, place: Place, quota: Quota, decisions: Sequence[Decision]
) -> list[Decision]:
    """The decisions, those refused for which there is no room; what the ones before free, or take,
    counts.

    Args:
        rooms: what apps keep of people.
        place: whose data of which app.
        quota: of the app.
        decisions: to store, or not, what the batch holds.
    """
    room = await rooms.room(place.user_id, place.app_id)
    made, held = Growth(), []
    for decision in decisions:
        growth = _growth(decision.write)
        if room.admits(growth, quota, beside=made):
            made += growth
            held.append(decision)
        else:
            QUOTA_REFUSALS.inc()
            error = {"pointer": decision.item.pointer, "code": "quota_exceeded", "detail": _DETAIL}
            held.append(Decision(decision.item, Status.INVALID, errors=[error]))
    return held


def note_growth(rooms: Rooms, place: Place, decisions: Iterable[Decision]) -> None:
    """Note by how much a batch that was written has made what is kept more, or less."""
    room = rooms.known(place.user_id, place.app_id)
    if room is not None:
        stored = [each.write for each in decisions if each.status is Status.STORED]
        room.end(Growth(), sum(map(_growth, stored), Growth()))


def _growth(write: Pinned | None) -> Growth:
    if write is None:
        return Growth()
    before = (
        Growth() if write.row is None or write.row["deleted"] else Growth(1, write.row["bytes"])
    )
    return (Growth() if write.deletes else Growth(1, write.size)) - before
