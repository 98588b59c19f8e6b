"""What a bank, its person and the worker do to one connection, for the state model."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from app.connections.access import token_of
from app.connections.jobs import handlers
from app.connections.service import patch_connection
from app.connections.syncs import Disconnected, NeedsReauth, SyncRunning, sync_due, sync_now
from app.connections.webhooks import take
from app.database import transaction
from app.errors import Invalid, ProviderUnavailable
from app.jobs import Claim
from app.outside.keyring import KeyRing
from app.settings import Settings
from app.web.patches import PatchKind
from models.bank_account import BankAccount
from models.base import now, rfc3339
from models.clock import CLOCK
from models.connection import Connection
from models.outside_link import OutsideLink
from models.transaction import Transaction
from tests.app.connections.answers import ANSWERS, REPEATING, Answer, request_of
from tests.app.connections.killing import DOOMED, Died, Killer
from tests.factories.banks import Bank
from tests.outside.server import Asked, Told
from tests.outside.teller import Login, TellerBanks

REFUSALS: Final = (Disconnected, Invalid, NeedsReauth, ProviderUnavailable, SyncRunning)


class NoClaim:
    """Stands for the claim of a job that nobody else wants."""

    async def renew(self, **progress: int) -> None:
        """It is ours."""


@dataclass
class World:
    """What stays for all stories: the loop, the database, the banks."""

    runner: asyncio.Runner
    client: AsyncMongoClient[Any]
    killer: Killer
    banks: TellerBanks
    settings: Settings
    keyring: KeyRing
    user_id: PydanticObjectId
    zero: float


@dataclass
class Script:
    """What comes in between of a sync.

    Attributes:
        answers: a request (`REQUESTS`), its answer by name, and whether it is answered so every
            time.
        meanwhile: what happens before a request is answered, by its number.
        count: of requests so far.
        frozen: what is stored once another has taken over: this sync may change it no more.
    """

    answers: list[tuple[str, str, bool]] = field(default_factory=list)
    meanwhile: tuple[int, Callable[[], Awaitable[None]]] | None = None
    count: int = 0
    frozen: list[Any] | None = None

    def answer_to(self, request: str) -> Answer | None:
        """What is answered instead of the truth, if anything."""
        for each in self.answers:
            if each[0] == request:
                if not each[2]:
                    self.answers.remove(each)
                return ANSWERS[each[1]]
        return None


class Acting:
    """One connection, its bank, its person, and the worker."""

    world: World

    def run(self, work: Awaitable[Any]) -> Any:
        return self.world.runner.run(work)  # type: ignore[arg-type]

    async def _begin(self) -> None:
        for document in (Connection, BankAccount, Transaction, OutsideLink):
            await document.raw().delete_many({})
        CLOCK._zero = self.world.zero
        self.honest, self.toggled = True, False
        self.tokens, self.labels, self.script = 0, 0, Script()
        self.login = Login("enr_model")
        for name, digits in (("Checking", "1111"), ("Savings", "2222")):
            self.login.add_account(name, last_four=digits)
        self.bank, self.changed = Bank(self.login), list[tuple[str, str]]()
        self.away: dict[str, Any] = {}
        self.world.banks.logins = {"token_0": self.login}
        self.world.banks.page, self.world.banks.server.serve = 2, self._answer
        for number in range(5):
            self.bank.happen("add", number % 2, number)
        self.connection_id = ObjectId()
        place = Connection.place_in(
            {"_id": self.connection_id, "userId": self.world.user_id}, "access_token"
        )
        made = Connection(
            id=PydanticObjectId(self.connection_id),
            user_id=self.world.user_id,
            provider="teller",
            institution="Bank",
            label="Personal",
            access_token=self.world.keyring.seal(SecretStr("token_0"), place),
            enrollment_id=self.login.enrollment,
            next_attempt_at=now(),
        )
        await transaction(made.add)

    async def _answer(self, asked: Asked) -> Told:
        number, self.script.count = self.script.count, self.script.count + 1
        if self.script.meanwhile is not None and self.script.meanwhile[0] <= number:
            await self._interrupt()
        fault = self.script.answer_to(request_of(asked))
        answer = fault if isinstance(fault, Told) else self.world.banks.serve(asked)
        if fault is not None and not isinstance(fault, Told):
            answer = fault(asked, answer)
        if (
            asked.path.endswith("/transactions")
            and answer.status == 200
            and answer.raw is None
            and not answer.cut
        ):
            REPEATING.last = answer
        return answer

    async def _interrupt(self) -> None:
        """Have happen what the script says, and note whether it took the connection over."""
        script, before = self.script, (await self._found()).sync_fence
        assert script.meanwhile is not None
        (_, happen), script.meanwhile = script.meanwhile, None
        self.script = Script()
        with suppress(*REFUSALS):
            await happen()
        self.script = script
        found = await self._found()
        if found.sync_fence != before or found.running is None:
            script.frozen = await self._all_rows()

    async def _all_rows(self) -> list[Any]:
        return [
            await each.raw().find({}).to_list() for each in (Connection, BankAccount, Transaction)
        ]

    def _change(self, change: str, account: int, place: int, age: int) -> None:
        account_id = self.bank.accounts[account]
        before = {each["id"]: dict(each) for each in self.login.ledgers[account_id]}
        if change.startswith("add") and age:
            self.bank._add(account_id, age + place, "posted")
        else:
            self.bank.happen(change, account, place)
        after = {each["id"]: each for each in self.login.ledgers[account_id]}
        self.changed += [
            (account_id, key)
            for key in before.keys() | after.keys()
            if before.get(key) != after.get(key)
        ]

    def _toggle(self, account_id: str) -> None:
        """An account goes or comes back, of which no webhook tells."""
        self.toggled = True
        if account_id in self.away:
            self.login.accounts[account_id] = self.away.pop(account_id)
        elif account_id in self.login.accounts:
            self.away[account_id] = self.login.accounts.pop(account_id)

    def _pass_time(self, minutes: float) -> None:
        assert CLOCK._zero is not None
        CLOCK._zero += 60 * minutes

    async def _mortal(
        self, work: Callable[[], Awaitable[None]], dies: tuple[int, bool] | None
    ) -> None:
        """Do something in a process that may end meanwhile; what it left open is the database's to
        end."""
        token = DOOMED.set(dies is not None)
        if dies is not None:
            self.world.killer.doom(*dies)
        try:
            with suppress(*REFUSALS):
                await work()
        except Died:
            await self.world.client.admin.command("killAllSessions", [])
            await self._adopt()
        finally:
            DOOMED.reset(token)
            self.world.killer.left = None

    async def _found(self) -> Connection:
        found = await Connection.find_by_id(self.connection_id)
        assert found is not None
        return found

    async def _sync(self, by: str = "worker", settings: Settings | None = None) -> None:
        chosen = settings or self.world.settings
        if by == "worker":
            await sync_due(self.connection_id, chosen, self.world.keyring)
            return
        seconds = 0.0 if by == "short" else 10.0
        chosen = chosen.model_copy(update={"sync_inline_seconds": seconds})
        await sync_now(await self._found(), chosen, self.world.keyring)

    async def _steal(self) -> None:
        """Another sync after the lease of this one has run out."""
        self._pass_time(2)
        await self._sync()

    async def _hear(self) -> None:
        rows = [{"account_id": account_id, "id": name} for account_id, name in self.changed]
        await take(
            {
                "type": "transactions.processed",
                "timestamp": rfc3339(now()),
                "payload": {"transactions": rows},
            }
        )

    async def _news(self) -> None:
        self._change("add", 0, 0, 30)
        self._change("add", 0, 0, 0)
        await self._hear()
        self.changed.clear()

    async def _relink(self) -> None:
        """The person signs in at the bank again: the login is well, and its token a new one."""
        self.tokens += 1
        self.login.error, self.login.deleted = None, False
        self.world.banks.logins[f"token_{self.tokens}"] = self.login
        await self._patch({"accessToken": f"token_{self.tokens}"})

    async def _renew(self, digits: bool = True, same_rows: bool = False) -> None:
        """The person signs in anew, and the provider tells the same accounts by other ids."""
        self.tokens += 1
        for account_id in list(self.away):
            self._toggle(account_id)
        told = {} if digits else {"last_four": None}
        renewed = self.login.renew(f"n{self.tokens}_", same_rows=same_rows, **told)
        self.world.banks.logins[f"token_{self.tokens}"] = renewed
        try:
            await self._patch({"accessToken": f"token_{self.tokens}"})
        finally:
            await self._adopt()

    async def _adopt(self) -> None:
        """The login that counts is the one whose token the connection has."""
        found = await self._found()
        if found.access_token is not None:
            login = self.world.banks.logins[token_of(found, self.world.keyring)]
            if login is not self.login:
                self.login = self.bank.login = login
                self.bank.accounts = list(login.accounts)
                self.changed.clear()

    async def _give_up(self) -> None:
        await handlers(self.world.settings)["remove-bank-links"](cast("Claim", NoClaim()))

    async def _rename(self) -> None:
        self.labels += 1
        await self._patch({"label": f"label {self.labels}"})

    async def _disconnect(self) -> None:
        await self._patch({"status": "disconnected"})

    async def _patch(self, patch: Any) -> None:
        found = await self._found()
        await patch_connection(
            found, PatchKind.MERGE, patch, None, self.world.settings, self.world.keyring
        )
