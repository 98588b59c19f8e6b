"""Budgets of sign-in: codes per recipient, per client address and for the whole service; failures per address.

Counters of our own in MongoDB: the async MongoDB storage of `limits` needs Motor, whose life has ended.
"""

from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from starlette.requests import Request

from app.auth.secret import keyed_hash
from app.errors import TooManyRequests
from app.settings import Settings
from models.base import now
from models.budget import Budget

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class Budgets:
    """Counts by keyed hashes, so that neither numbers nor addresses are stored."""

    def __init__(self, settings: Settings, key: bytes) -> None:
        self._settings = settings
        self._key = key

    async def spend_client(self, client: str) -> None:
        """Count a code that a client address asked for.

        Raises:
            TooManyRequests: its hour's budget is used up.
        """
        await self._spend("client", client, _HOUR, self._settings.otp_per_client_per_hour)

    async def spend_code(self, recipient: str) -> None:
        """Count a code that is about to be sent.

        Raises:
            TooManyRequests: the budget of the recipient's day, or of the service's hour, is used up.
        """
        await self._spend("recipient", recipient, _DAY, self._settings.otp_per_recipient_per_day)
        await self._spend("service", "", _HOUR, self._settings.otp_per_hour)

    async def spend_failure(self, client: str) -> None:
        """Count a sign-in that failed.

        Raises:
            TooManyRequests: the client address fails too often.
        """
        await self._spend("failure", client, _HOUR, self._settings.sign_in_failures_per_client_per_hour)

    async def _spend(self, what: str, whom: str, span: timedelta, most: int) -> None:
        begin, end = _span(now(), span)
        hashed = keyed_hash(self._key, what, whom).hex()[:32]
        count = await Budget.spend(f"{what}:{hashed}:{begin:%Y-%m-%dT%H}", end)
        if count > most:
            wait = max(1, int((end - now()).total_seconds()) + 1)
            raise TooManyRequests("this was asked for too often; try again later", retry_after=wait)


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
