"""What sign-in works with, made once per process: codes, sessions, providers, budgets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from app.auth.codes.budgets import Budgets
from app.auth.codes.otp import Codes
from app.auth.codes.requesters import DeviceTokens
from app.auth.codes.senders import make_sender
from app.auth.identities.oidc import REPLAYED, Oidc
from app.auth.secret import load_secret
from app.auth.sessions import Sessions
from app.errors import Forbidden, TooManyRequests, Unauthenticated
from app.identity import trail
from app.outside.client import new_client
from app.settings import Settings
from app.web.observability.measures import SIGN_INS_FAILED

_FETCH_SECONDS: Final = 5.0


class SignIn:
    """The parts of sign-in, with the settings and the derived keys of each.

    Raises:
        RuntimeError: production without a sender.
        FileNotFoundError: production without a master secret.
    """

    def __init__(self, settings: Settings) -> None:
        secret = load_secret(settings)
        self.settings = settings
        self._to_sender = new_client(
            settings, timeout=settings.sender_timeout_seconds, private_hosts=None
        )
        self._to_providers = new_client(settings, timeout=_FETCH_SECONDS, private_hosts=None)
        self.budgets = Budgets(settings, secret.key("budgets"))
        self.codes = Codes(
            settings,
            secret.key("one-time codes"),
            make_sender(settings, self._to_sender),
            self.budgets,
        )
        self.devices = DeviceTokens(secret.key("device token"))
        self.sessions = Sessions(settings, secret)
        self.oidc = Oidc(settings, self._to_providers)

    async def close(self) -> None:
        """Let go of the connections to sender and providers."""
        await self._to_sender.aclose()
        await self._to_providers.aclose()

    @asynccontextmanager
    async def refusing(self, client: str, method: str) -> AsyncIterator[None]:
        """Measure, count and record where the block refuses a sign-in by this method: `code`, or a
        provider that is configured.

        Raises:
            TooManyRequests: this client address fails too often; then it is not recorded.
        """
        try:
            yield
        except Unauthenticated as error:
            await self._refuse(client, method, "replayed" if error.detail == REPLAYED else "wrong")
            raise error from None
        except Forbidden:
            SIGN_INS_FAILED.labels(method, "inactive").inc()
            raise

    async def _refuse(self, client: str, method: str, reason: str) -> None:
        try:
            await self.budgets.spend_failure(client)
        except TooManyRequests:
            SIGN_INS_FAILED.labels(method, "too_often").inc()
            raise
        SIGN_INS_FAILED.labels(method, reason).inc()
        await trail.record("sign_in_failed", "anonymous", detail={"provider": method})


def sign_in_of(scope: Any) -> SignIn:
    """The sign-in of the process that serves this request."""
    found: SignIn = scope["app"].state.sign_in
    return found
