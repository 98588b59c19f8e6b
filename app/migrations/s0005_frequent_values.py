"""Property days: the first hundred values become the most frequent ones, counted anew where there
are events."""

from array import array
from typing import Any, Final

from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from app.jobs import Claim
from models.base import Raw, now

_BATCH: Final = 200
_OLD: Final[Raw] = {"totals": {"$exists": False}}
_OTHER: Final = "__other__"
_SLOTS: Final = 96


async def count(database: AsyncDatabase[Raw]) -> int:
    """How many property days are of the former form."""
    return await database.propertydays.count_documents(_OLD)


async def apply(database: AsyncDatabase[Raw], claim: Claim) -> int:
    """Give each the present form. One that has others beside its hundred values is counted anew by
    the next recount."""
    changed = 0
    while rows := await database.propertydays.find(_OLD).limit(_BATCH).to_list():
        same = [UpdateOne({"_id": row["_id"], **_OLD}, _changes(row)) for row in rows]
        changed += (await database.propertydays.bulk_write(same, ordered=False)).modified_count
        await claim.renew(changed=changed)
    return changed


def _changes(row: Raw) -> Raw:
    counts = {each["v"]: _unpack(each["counts"]) for each in row.get("values", [])}
    bound = sum(counts.get(_OTHER, ()))
    totals = {
        value: sum(slots) for value, slots in counts.items() if value != _OTHER and any(slots)
    }
    listed = sorted(totals, key=lambda value: (-totals[value], value))
    fields: Raw = {
        "values": listed,
        "totals": _pack("Q", [totals[value] for value in listed]),
        "slots": [_packed_slots(counts[value]) for value in listed],
        "counts": _pack(
            "I", [sum(each[slot] for each in counts.values()) for slot in range(_SLOTS)]
        ),
        "outside": 0,
        "bound": bound,
        "updatedAt": now(),
    }
    if bound:
        fields |= {"capped": True, "due": True}
    return {"$set": fields, "$unset": {"full": ""}, "$inc": {"version": 1}}


def _unpack(packed: bytes) -> list[int]:
    return [int.from_bytes(packed[at : at + 4], "little") for at in range(0, len(packed), 4)]


def _pack(kind: str, numbers: list[int]) -> bytes:
    width = array(kind).itemsize
    return b"".join(number.to_bytes(width, "little") for number in numbers)


def _packed_slots(counts: Any) -> bytes:
    """The form of `app.analytics.rollup.property_values.pack_slots` when this step was written."""
    packed = bytearray()
    for slot, count in enumerate(counts):
        if not count:
            continue
        packed.append(slot)
        left = count
        while left > 0x7F:
            packed.append(left & 0x7F | 0x80)
            left >>= 7
        packed.append(left)
    return bytes(packed)
