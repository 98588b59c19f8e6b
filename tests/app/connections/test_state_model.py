"""A bank connection as a state machine: every answer of the provider, kills at every database
command, all at any time.

Whatever has happened, once the provider is well and the person has signed in where that is asked,
the worker brings the connection to `connected` with exactly the provider's rows: nothing orphaned,
nothing doubled, no way out missing.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import pytest
from beanie import PydanticObjectId
from hypothesis import HealthCheck
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from app.connections.decisions import Decision, decide
from app.database import bind
from app.database import connect as client_of
from app.settings import Settings
from models.bank_account import BankAccount
from models.base import now
from models.clock import CLOCK
from models.connection import Connection, Undecided
from models.outside_link import OutsideLink
from models.transaction import Transaction
from tests.app.connections.acting import Acting, Script, World
from tests.app.connections.answers import ANSWERS, LIES, REQUESTS
from tests.app.connections.killing import Killer
from tests.cast import Cast
from tests.outside.server import Told
from tests.outside.teller import TellerBanks

STEPS: Final = 5
STORIES: Final = 60
CHANGES: Final = ("add", "add_pending", "post", "rename", "amend", "remove")

NAMES: Final = sorted(ANSWERS.keys() - LIES) * 3 + sorted(LIES)
MEANWHILE: Final = ("news", "hear", "sync", "steal", "relink", "disconnect", "rename", "renew")


class Story(Acting, RuleBasedStateMachine):
    """One connection, its bank, its person, and the worker."""

    @initialize(synced=st.booleans())
    def begin(self, synced: bool) -> None:
        self.run(self._begin())
        if synced:
            self.run(self._sync())

    @rule(
        change=st.sampled_from(CHANGES),
        account=st.integers(0, 1),
        place=st.integers(0, 7),
        age=st.sampled_from((0, 30)),
    )
    def the_bank_changes(self, change: str, account: int, place: int, age: int) -> None:
        self._change(change, account, place, age)

    @rule(account=st.integers(0, 1))
    def an_account_goes_or_comes_back(self, account: int) -> None:
        self._toggle(self.bank.accounts[account])

    @rule(account=st.integers(0, 1), name=st.sampled_from(("Checking", "Everyday", "Savings")))
    def the_bank_renames_an_account(self, account: int, name: str) -> None:
        (self.away | self.login.accounts)[self.bank.accounts[account]]["name"] = name

    @rule(state=st.sampled_from(("well", "mfa", "401", "403")))
    def the_login_breaks_or_is_repaired(self, state: str) -> None:
        fault = None if state == "well" else ANSWERS[state]
        assert fault is None or isinstance(fault, Told)
        self.login.error = fault

    @rule(lost=st.booleans())
    def a_webhook_comes_or_is_lost(self, lost: bool) -> None:
        if lost:
            self.honest = self.honest and not self.changed
        else:
            self.run(self._hear())
        self.changed.clear()

    @rule(minutes=st.sampled_from((2, 60, 7 * 60, 26 * 60)))
    def time_passes(self, minutes: int) -> None:
        self._pass_time(minutes)

    @rule(
        by=st.sampled_from(("worker", "worker", "hand", "short")),
        answers=st.lists(
            st.tuples(st.sampled_from(REQUESTS), st.sampled_from(NAMES), st.booleans()),
            max_size=2,
        ),
        dies=st.none() | st.tuples(st.integers(0, 30), st.booleans()),
        meanwhile=st.none() | st.tuples(st.integers(0, 9), st.sampled_from(MEANWHILE)),
    )
    def a_sync(
        self,
        by: str,
        answers: list[tuple[str, str, bool]],
        dies: tuple[int, bool] | None,
        meanwhile: tuple[int, str] | None,
    ) -> None:
        names = {name for _, name, _ in answers}
        self.honest = self.honest and LIES.isdisjoint(names)
        silent = "silent" in names  # what is asked for in vain may not go on behind
        interrupt = (
            None
            if silent or meanwhile is None
            else (meanwhile[0], getattr(self, f"_{meanwhile[1]}"))
        )
        script = self.script = Script(list(answers), interrupt)
        settings = self.world.settings.model_copy(
            update={"outgoing_timeout_seconds": 0.3 if silent else 10.0}
        )
        self.run(self._mortal(lambda: self._sync(by, settings), dies))
        self.script = Script()
        if script.frozen is not None:
            assert self.run(self._all_rows()) == script.frozen, "who was overtaken has written"

    @rule(
        by=st.sampled_from(("worker", "hand")),
        number=st.integers(0, 9),
        what=st.sampled_from(MEANWHILE),
    )
    def a_sync_that_is_interrupted(self, by: str, number: int, what: str) -> None:
        self.a_sync(by=by, answers=[], dies=None, meanwhile=(number, what))

    @rule(dies=st.none() | st.tuples(st.integers(0, 6), st.booleans()))
    def the_person_signs_in(self, dies: tuple[int, bool] | None) -> None:
        self.run(self._mortal(self._relink, dies))

    @rule(
        dies=st.none() | st.tuples(st.integers(0, 9), st.booleans()),
        digits=st.booleans(),
        same_rows=st.booleans(),
    )
    def the_person_signs_in_anew(
        self, dies: tuple[int, bool] | None, digits: bool, same_rows: bool
    ) -> None:
        self.run(self._mortal(lambda: self._renew(digits, same_rows), dies))

    @rule(dies=st.none() | st.tuples(st.integers(0, 9), st.booleans()))
    def the_worker_gives_up_logins(self, dies: tuple[int, bool] | None) -> None:
        self.run(self._mortal(self._give_up, dies))

    @rule()
    def the_person_renames_it(self) -> None:
        self.run(self._rename())

    @rule(dies=st.none() | st.tuples(st.integers(0, 6), st.booleans()))
    def the_person_disconnects(self, dies: tuple[int, bool] | None) -> None:
        self.run(self._mortal(self._disconnect, dies))

    def teardown(self) -> None:
        if hasattr(self, "bank"):
            self.run(self._end_well())

    # how it ends

    async def _end_well(self) -> None:
        """The provider is well; the person does what is asked for, and the worker what is due."""
        self.script = Script()
        for login in self.world.banks.logins.values():
            login.error = None
        for account_id in list(self.away):
            self._toggle(account_id)
        await self._hear()
        found = await self._found()
        if (
            self.toggled
            or found.status != "connected"
            or found.failures
            or found.running is not None
        ):
            self._pass_time(7 * 60)  # else what it was told of is due at once
            await self._settle()
            self._pass_time(
                7 * 60
            )  # the pass before went on with the accounts that there were when it began
        await self._settle()
        if self.honest:
            await self._check_rows()
        self._pass_time(60 * 24 * (self.world.settings.sync_full_days + 1))
        await self._settle()
        await self._check()

    async def _settle(self) -> None:
        for _ in range(12):
            found = await self._found()
            if found.status == "needs_reauth" and self.tokens % 2:
                await self._sync("hand")
            elif found.status != "connected":
                await self._relink()
            elif found.undecided:
                for each in found.undecided:
                    await self._decide(found, each)
            elif due := await Connection.find_due(now(), 2):
                assert due == [self.connection_id]
                await self._sync()
            else:
                return
        raise AssertionError(f"it does not come to rest: {await Connection.raw().find_one({})}")

    async def _decide(self, found: Connection, asked: Undecided) -> None:
        """The person knows which it is: ids differ in what they begin with."""
        rows = await BankAccount.raw().find({"_id": {"$in": asked.candidates}}).to_list()
        same = [
            row["_id"]
            for row in rows
            if row["providerId"].endswith(asked.provider_id.rpartition("_acc_")[2])
        ]
        assert len(same) <= 1
        await decide(
            found,
            Decision(provider_id=asked.provider_id, bank_account_id=same[0] if same else None),
        )

    async def _check(self) -> None:
        found = await self._found()
        assert (found.status, found.status_reason, found.failures) == ("connected", None, 0)
        assert (found.cursor, found.running, found.hinted) == (None, None, None)
        assert (found.named, found.set_aside) == ([], [])
        accounts = {row["_id"] for row in await BankAccount.raw().find({}).to_list()}
        assert (
            await BankAccount.raw().count_documents({"connectionId": {"$ne": self.connection_id}})
            == 0
        )
        assert (
            await Transaction.raw().count_documents({"bankAccountId": {"$nin": list(accounts)}})
            == 0
        )
        await self._check_rows()
        self._pass_time(60 * 24)
        await self._give_up()
        assert (await OutsideLink.raw().count_documents({}), self.login.deleted) == (0, False)

    async def _check_rows(self) -> None:
        """Each account is there once, with exactly its rows, and beyond what is told only history
        of before it."""
        there, here = {}, {}
        for account_id, ledger in self.login.ledgers.items():
            there[account_id] = sorted(
                (each["id"], each["date"], each["description"], each["status"]) for each in ledger
            )
        for account in await BankAccount.raw().find({"status": "open"}).to_list():
            rows = await Transaction.raw().find({"bankAccountId": account["_id"]}).to_list()
            mine = [row for row in rows if row.get("link") == account.get("link")]
            here[account["providerId"]] = sorted(
                (row["providerId"], row["date"], row["description"], row["status"]) for row in mine
            )
            first = min((each[1] for each in there[account["providerId"]]), default="9999")
            assert all(
                row["date"] < first and row["status"] == "posted" for row in rows if row not in mine
            )
        assert here == there
        assert await BankAccount.raw().count_documents({}) == len(there)


@pytest.fixture
def model(cast: Cast, base_settings: Settings, mongodb_uri: str, api: Any) -> Iterator[World]:
    """A loop, a client and a bank of its own; the clock is the database's again afterwards."""
    killer, banks = Killer(), TellerBanks()

    async def open_all() -> World:
        await banks.server.start()
        settings = base_settings.model_copy(
            update={"teller_url": banks.server.url, "outgoing_timeout_seconds": 10.0}
        )
        client = client_of(settings, mongodb_uri, bounded=False, listeners=(killer,))
        await bind(client, settings)
        assert CLOCK._zero is not None
        user_id = PydanticObjectId(cast.owner.id)
        return World(
            runner, client, killer, banks, settings, api.app.state.keyring, user_id, CLOCK._zero
        )

    with asyncio.Runner() as runner:
        world = runner.run(open_all())
        yield world
        runner.run(banks.server.stop())
        runner.run(world.client.close())
        CLOCK.forget()


def test_once_the_provider_is_well_a_connection_ends_connected_with_exactly_its_rows(
    model: World,
) -> None:
    class Model(Story):
        world = model

    run_state_machine_as_test(
        Model,
        settings=examples(
            max_examples=STORIES,
            stateful_step_count=STEPS,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
