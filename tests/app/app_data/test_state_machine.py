"""Compare-and-set against a model dictionary: any sequence of operations has the statuses and
values of the model."""

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.app_data import AppData
from models.app_data_expiry import expire_due
from models.base import now
from tests.cast import Cast
from tests.factories.app_data import DATA
from tests.harness import version_of

runs = count()
small = st.one_of(
    st.none(),
    st.integers(0, 9),
    st.dictionaries(st.sampled_from(["a", "b", "$ref"]), st.integers(0, 3)),
)
conditions = st.one_of(
    st.none(),
    st.just("absent"),
    st.just("any"),
    st.lists(st.integers(-2, 1), min_size=1, max_size=2),  # distances from the current version
)
operations = st.tuples(
    st.sampled_from(["put", "put", "merge", "delete", "get", "expire", "sweep"]),
    st.sampled_from(["x", "y"]),
    small,
    conditions,
)


@dataclass
class Slot:
    """What the model knows of one key."""

    version: int = 0
    live: bool = False
    value: Any = None
    due: bool = False


@dataclass
class Model:
    """The dictionary that the API must agree with."""

    slots: dict[str, Slot] = field(default_factory=lambda: {"x": Slot(), "y": Slot()})

    @staticmethod
    def holds(slot: Slot, condition: Any) -> bool:
        if condition is None:
            return True
        if condition == "absent":
            return not slot.live
        return slot.live and (
            condition == "any" or slot.version in [slot.version + step for step in condition]
        )

    def put(self, key: str, value: Any, condition: Any) -> int:
        slot = self.slots[key]
        if not self.holds(slot, condition):
            return 412
        status = 200 if slot.live else 201
        self.slots[key] = Slot(slot.version + 1, True, value)
        return status

    def merge(self, key: str, patch: Any, condition: Any) -> int:
        slot = self.slots[key]
        if not slot.live:
            return 404
        if not self.holds(slot, condition):
            return 412
        value = merged(slot.value, patch)
        moves = spelled(value) != spelled(
            slot.value
        )  # a patch that changes nothing moves no version
        self.slots[key] = Slot(slot.version + moves, True, value)
        return 200

    def delete(self, key: str, condition: Any) -> int:
        slot = self.slots[key]
        if not slot.live:
            return 404
        if not self.holds(slot, condition):
            return 412
        self.slots[key] = Slot(slot.version + 1)
        return 204

    def expire(self, key: str) -> None:
        slot = self.slots[key]
        if slot.live:
            self.slots[key] = Slot(slot.version, due=True)

    def sweep(self) -> int:
        due = [key for key, slot in self.slots.items() if slot.due]
        for key in due:
            self.slots[key] = Slot(self.slots[key].version + 1)
        return len(due)


def merged(value: Any, patch: Any) -> Any:
    """RFC 7396 for flat patches without null."""
    if not isinstance(patch, dict):
        return patch
    return {**value, **patch} if isinstance(value, dict) else patch


def headers(slot: Slot, condition: Any) -> dict[str, str]:
    if condition is None:
        return {}
    if condition == "absent":
        return {"If-None-Match": "*"}
    if condition == "any":
        return {"If-Match": "*"}
    return {"If-Match": ", ".join(f'"{slot.version + step}"' for step in condition)}


@given(plan=st.lists(operations, min_size=1, max_size=20))
@settings(
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_any_sequence_of_writes_does_what_the_model_says(
    cast: Cast, plan: list[tuple[Any, ...]]
) -> None:
    await expire_due(1000)  # what the plan before left
    model, place = Model(), f"{DATA}/run{next(runs)}."
    for step in plan:
        await act(cast, model, place, step)
        for key, slot in model.slots.items():
            found = await cast.owner.get(place + key)
            if slot.live:
                assert (found.json(), version_of(found)) == (slot.value, slot.version)
            else:
                assert found.status_code == 404


async def act(cast: Cast, model: Model, place: str, step: tuple[Any, ...]) -> None:
    """Do one operation in both, and compare what they say."""
    operation, key, value, condition = step
    slot, path = model.slots[key], place + key
    sent = headers(slot, condition)
    if operation == "put":
        answer = await cast.owner.put(path, content=spelled(value), headers=sent)
        assert answer.status_code == model.put(key, value, condition)
    elif operation == "merge":
        kind = {"Content-Type": "application/merge-patch+json"}
        answer = await cast.owner.request(
            "PATCH", path, content=spelled(value), headers=sent | kind
        )
        assert answer.status_code == model.merge(key, value, condition)
    elif operation == "delete":
        answer = await cast.owner.delete(path, headers=sent)
        assert answer.status_code == model.delete(key, condition)
    elif operation == "expire":
        over = {"$set": {"expiresAt": now()}}
        await AppData.raw().update_one({"dataKey": path.rpartition("/")[2], "deleted": False}, over)
        model.expire(key)
        return
    elif operation == "sweep":
        assert await expire_due(100) == model.sweep()
        return
    else:
        return
    if answer.status_code == 412:
        current = answer.json()["current"]
        expected = (slot.version, slot.value) if slot.live else None
        assert (current and (current["version"], current["value"])) == expected
    elif operation != "delete" and answer.is_success:
        assert answer.json()["version"] == model.slots[key].version


def spelled(value: Any) -> bytes:
    return json.dumps(value).encode()
