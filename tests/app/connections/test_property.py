"""Any sequence of faults and crashes ends with exactly the provider's rows ."""

from datetime import timedelta
from typing import Any

import pytest
from beanie import PydanticObjectId
from bson import ObjectId
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import SecretStr

from app.connections import sync as syncing
from app.connections.syncs import sync_due
from app.database import transaction
from app.settings import Settings
from models.bank_account import BankAccount
from models.base import now
from models.connection import Connection
from models.transaction import Transaction
from tests.app.connections.conftest import TOKEN, World, stored, told
from tests.factories.banks import Bank, Died, doubled, dying, shuffled
from tests.outside.server import Told
from tests.outside.teller import MFA, Login, error

FAULTS: dict[str, Any] = {
    "none": None,
    "expired": MFA,
    "rate": error(429, "too_many_requests", **{"Retry-After": "1"}),
    "broken": error(500, "internal"),
    "cut": lambda asked, answer: Told(answer.status, answer.json, cut=True),
    "malformed": Told(200, {"what": "is this"}),
    "shuffled": shuffled,
    "doubled": doubled,
}
CHANGES = ("add", "add_pending", "post", "rename", "amend", "remove", "nothing")
rounds = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.sampled_from(CHANGES), st.integers(0, 1), st.integers(0, 7)), max_size=5
        ),
        st.lists(st.sampled_from([*FAULTS, "none", "none", "none"]), max_size=8),
        st.one_of(st.none(), st.integers(0, 7)),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


async def connected(world: World) -> ObjectId:
    for document in (Connection, BankAccount, Transaction):
        await document.raw().delete_many({})
    connection_id, user_id = PydanticObjectId(), PydanticObjectId(world.cast.owner.id)
    place = Connection.place_in({"_id": connection_id, "userId": user_id}, "access_token")
    sealed = world.api.app.state.keyring.seal(SecretStr(TOKEN), place)
    made = Connection(
        id=connection_id,
        user_id=user_id,
        provider="teller",
        institution="B",
        label="l",
        access_token=sealed,
    )
    await transaction(made.add)
    return ObjectId(connection_id)


async def sync(world: World, settings: Settings, connection_id: ObjectId) -> None:
    """A sync by a worker, whatever became of the one before."""
    await Connection.raw().update_one(
        {"_id": connection_id}, {"$set": {"running.until": now() - timedelta(1)}}
    )
    await sync_due(connection_id, settings, world.api.app.state.keyring)


@examples(
    max_examples=25,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(story=rounds)
async def test_any_sequence_of_faults_and_crashes_ends_with_exactly_the_providers_rows(
    world: World, monkeypatch: pytest.MonkeyPatch, story: Any
) -> None:
    connection_id = await connected(world)
    login = world.banks.logins[TOKEN] = Login("enr_x")
    for name in ("Checking", "Savings"):
        login.add_account(name)
    bank, world.banks.page = Bank(login), 3
    for number in range(8):
        bank.happen("add", number % 2, number)
    for changes, faults, dies_at, after in story:
        for change in changes:
            bank.happen(*change)
        world.banks.server.faults.clear()
        world.banks.server.faults.extend(FAULTS[fault] for fault in faults)
        monkeypatch.setattr(syncing, "transaction", dying(dies_at, after))
        try:
            await sync(world, world.api.settings, connection_id)
        except Died:
            continue
    monkeypatch.setattr(syncing, "transaction", transaction)
    world.banks.server.faults.clear()
    for _ in range(2):  # one to end the pass that was under way, one to see what has happened since
        await sync(world, world.api.settings, connection_id)
    assert await stored(world.banks) == told(world.banks)
    found = await Connection.find_by_id(connection_id)
    assert found is not None
    assert (found.status, found.cursor, found.running) == ("connected", None, None)
