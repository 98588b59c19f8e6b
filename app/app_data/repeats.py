"""What a repeat of a write of one value is answered, by its Idempotency-Key."""

from typing import Any

from app.app_data.place import Place
from app.errors import NotFound, ResultGone
from app.web.idempotency import Repeated
from app.web.routing import GONE
from models.app_data import AppData


async def value_again(
    place: Place, done: Repeated, *, with_value: bool
) -> tuple[dict[str, Any], Any]:
    """The envelope of what an earlier request wrote, and its `_id`: with the value as it is now,
    else as it was answered.

    The version of what others wrote since goes with their value alone: without, it would have the
    client guard its next write by what it has never seen.

    Args:
        place: where.
        done: the earlier request.
        with_value: whether the value is wanted.

    Raises:
        ResultGone: it is not there any more, or its user is not.
    """
    try:
        await place.lease.hold()
        found = await AppData.find_envelope(*place.key, with_id=True)
    except NotFound:
        found = None
    if found is None:
        raise ResultGone(GONE)
    key = found.pop("_id")
    if with_value and place.may_read:
        return found, key
    del found["value"]
    return ({"dataKey": place.data_key, **done.results[0]} if done.results else found), key
