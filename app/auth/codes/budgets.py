"""Budgets of sign-in: who may ask for codes how often, how many messages a recipient gets, how many
tries there are.

Counters of our own in MongoDB: the async MongoDB storage of `limits` needs Motor, whose life has
    ended.
"""

from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from pymongo.errors import PyMongoError
from starlette.requests import Request

from app.auth.codes.requesters import Requester
from app.auth.codes.senders import Recipient
from app.auth.codes.tries import KNOWN, LONGEST, STRANGERS
from app.auth.secret import keyed_hash
from app.errors import TooManyRequests
from app.settings import Settings
from app.web.observability import log
from app.web.observability.measures import CODES_REFUSED
from models.base import now
from models.budget import Budget

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class Budgets:
    """Counts by keyed hashes, so that neither numbers nor addresses are stored.

    What takes an `undo` puts there what gives it back; it is called where the code is not sent
    after all.
    """

    def __init__(self, settings: Settings, key: bytes) -> None:
        self._settings = settings
        self._key = key

    async def spend_requester(self, requester: Requester, undo: AsyncExitStack) -> None:
        """Count a code that somebody asked for.

        Raises:
            TooManyRequests: they asked for too many.
        """
        name = f"{requester.kind}:{self._hash(requester.kind, requester.name)}"
        await self._pace(name, self._settings.otp_per_client_per_hour, "requester", undo)

    async def spend_guest(self, client: str, undo: AsyncExitStack) -> None:
        """Count a guest of a client address.

        Raises:
            TooManyRequests: too many were made there.
        """
        name = f"guest:{self._hash('guest', client)}"
        await self._pace(name, self._settings.guests_per_client_per_hour, "guests", undo)

    async def begin(
        self, requester: Requester, recipient: Recipient, matter: str, undo: AsyncExitStack
    ) -> str:
        """Begin the time in which a requester gets no further code to a recipient for the same
        matter.

        Returns:
            The name of the counter, by which `end` ends it.

        Raises:
            TooManyRequests: it has not passed since their last one.
        """
        name = f"asked:{self._hash(requester.kind, requester.name, recipient.address, matter)}"
        counted, until = await Budget.pace(
            name, timedelta(seconds=self._settings.otp_resend_seconds)
        )
        if not counted:
            CODES_REFUSED.labels("resend").inc()
            raise TooManyRequests(
                "a code was sent just now; wait before asking for another", _seconds(until)
            )
        undo.push_async_callback(Budget.let_go, name)
        return name

    async def reserve_tries(
        self, requester: Requester, recipient: Recipient, undo: AsyncExitStack
    ) -> tuple[int, str | None]:
        """Put the tries of a challenge aside, at the fewest digits that the recipient's day has
        tries left for.

        Returns:
            How many digits the code has, and the name of the counter; None where there is no
            counting any more.
        """
        count = self._settings.otp_attempts
        begin, end = _span(now(), _DAY)
        hashed = self._hash("tries", requester.pool, recipient.address)
        for step in KNOWN if requester.pool == "known" else STRANGERS:
            name = f"tries:{hashed}:{step.digits}:{begin:%Y-%m-%d}"
            # a challenge may outlive its day
            if await Budget.take(name, count, step.tries, end + _HOUR):
                undo.push_async_callback(Budget.give_back, name, count)
                return step.digits, name
        return LONGEST, None

    async def take_message(self, recipient: Recipient, matter: str, undo: AsyncExitStack) -> bool:
        """Take a message of a recipient's day; False where those that may be sent at once are used
        up."""
        begin, end = _span(now(), _DAY)
        name = f"recipient:{self._hash(recipient.address, matter)}:{begin:%Y-%m-%d}"
        return await self._take(name, self._settings.otp_per_recipient_per_day, end, undo)

    async def take_first(self, shared: str, undo: AsyncExitStack) -> bool:
        """Whether this is the first request for a shared code, which sends it."""
        return await self._take(f"shared:{shared}", 1, now() + 2 * _HOUR, undo)

    async def spend_service(self, pool: str, undo: AsyncExitStack) -> None:
        """Count a message of the service. Devices that have signed in before have as many of their
        own.

        Raises:
            TooManyRequests: too many were sent.
        """
        name = f"service:{self._hash(pool)}"
        await self._pace(name, self._settings.otp_per_hour, "service", undo)

    async def settle(self, counter: str | None, asked: str | None, tries: int) -> None:
        """Give back what a challenge whose code was right did not need: its tries, and the wait for
        another code.

        It is no part of the transaction that signs in, with which strangers who ask for codes would
        conflict. Where it fails, or a process dies before it, the person is signed in all the same,
        and codes may get longer earlier.
        """
        try:
            if counter is not None and tries > 0:
                await Budget.give_back(counter, tries)
            if asked is not None:
                await Budget.let_go(asked)
        except PyMongoError as error:
            log.warning(
                "what a challenge did not need was not given back", error=type(error).__name__
            )

    async def spend_failure(self, client: str) -> None:
        """Count a sign-in that failed.

        Raises:
            TooManyRequests: the client address fails too often.
        """
        begin, end = _span(now(), _HOUR)
        count = await Budget.spend(
            f"failure:{self._hash('failure', client)}:{begin:%Y-%m-%dT%H}", end
        )
        if count > self._settings.sign_in_failures_per_client_per_hour:
            raise _too_often(end)

    async def _take(self, name: str, most: int, end: datetime, undo: AsyncExitStack) -> bool:
        taken = await Budget.take(name, 1, most, end)
        if taken:
            undo.push_async_callback(Budget.give_back, name, 1)
        return taken

    async def _pace(self, name: str, per_hour: int, whose: str, undo: AsyncExitStack) -> None:
        """Count one of so many an hour, all of which may come at once; whose they are is
        measured."""
        counted, until = await Budget.pace(name, _HOUR / per_hour, per_hour)
        if not counted:
            CODES_REFUSED.labels(whose).inc()
            raise _too_often(until)
        undo.push_async_callback(Budget.pay_back, name, _HOUR / per_hour, until)

    def _hash(self, *parts: str) -> str:
        return keyed_hash(self._key, *parts).hex()[:32]


def _too_often(end: datetime) -> TooManyRequests:
    return TooManyRequests("this was asked for too often; try again later", _seconds(end))


def _seconds(until: datetime) -> int:
    """Seconds until then, rounded up; at least one."""
    return max(1, int((until - now()).total_seconds()) + 1)


def hour_of(moment: datetime) -> datetime:
    """When the hour began that a moment is in."""
    return _span(moment, _HOUR)[0]


def _span(moment: datetime, length: timedelta) -> tuple[datetime, datetime]:
    """Begin and end of the hour or the day (UTC) that a moment is in."""
    begin = moment.replace(minute=0, second=0, microsecond=0)
    if length == _DAY:
        begin = begin.replace(hour=0)
    return begin, begin + length


def client_of(request: Request) -> str:
    """The address that a request came from; of IPv6 the /64 network, which one client has whole."""
    text = request.client.host if request.client else ""
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return text
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address) if address.version == 4 else str(ip_network(f"{address}/64", strict=False))
