"""Whose data it is: tokens and what is done with them, whoever sends the requests."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from satchel_client.cache import Cache
from satchel_client.errors import (
    NoGuest,
    SatchelError,
    SignedOut,
    Unauthenticated,
    Unreachable,
    UnsentWork,
)
from satchel_client.exchange import Ask, Call, Flow, Reply
from satchel_client.guests import Keep, SignedIn
from satchel_client.tokens import InMemory, Tokens, TokenStorage, entered

Renew = Callable[[], Any]
"""Gives what `POST /v1/users/{id}/sessions` answered; None where the person is signed in no more.
It may be a coroutine function where the session is an `AsyncSession`."""


class Keeper(Protocol):
    """Who keeps data of the person who is signed in."""

    def flush_flow(self) -> Flow[None]:
        """Send what waits."""

    @property
    def pending(self) -> int:
        """How many changes were not sent yet."""

    def leave(self) -> None:
        """Forget the person's data."""

    def part(self) -> None:
        """Be done with a guest: what was not sent is left to whom they are now."""

    def join(self) -> None:
        """A guest was merged: take over what they left."""


class Identity:
    """Tokens and what is done with them, whoever sends the requests.

    Args:
        url: of the Satchel.
        tokens: where tokens are kept; in memory if not said.
        device_info: what the person sees of this device in the list of their sessions.
        renew: asks a server of one's own for another token.
    """

    def __init__(
        self,
        url: str,
        tokens: TokenStorage | None = None,
        *,
        device_info: str | None = None,
        renew: Renew | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._storage, self._renew = tokens or InMemory(), renew
        self._device_info = device_info
        self._device_token: str | None = None
        self.keepers: list[Keeper] = []
        self.left: dict[tuple[str, str], Cache] = {}
        """What stores in memory have of guests whose sign-in has closed them, by user and app."""
        self._turn = threading.Lock()

    @property
    def user_id(self) -> str | None:
        """Who is signed in, None where nobody is."""
        kept = self.kept()
        return None if kept is None else kept.user_id

    @property
    def is_guest(self) -> bool:
        """Whether who is signed in is a guest, as far as is known here."""
        kept = self.kept()
        return kept is not None and kept.is_guest

    @property
    def guest_id(self) -> str | None:
        """A guest whom a sign-in has kept beside the person: see `merge_guest`."""
        kept = self.kept()
        return None if kept is None or kept.guest is None else kept.guest.user_id

    @property
    def merged(self) -> tuple[str, ...]:
        """Guests who are this person now."""
        kept = self.kept()
        return () if kept is None else kept.merged

    def kept(self) -> Tokens | None:
        """The tokens."""
        text = self._storage.get()
        return None if text is None else Tokens.loaded(text)

    def keep(self, tokens: Tokens | None) -> None:
        """Keep tokens, or none."""
        self._storage.set(None if tokens is None else tokens.dumped())

    def begin(self, pair: Mapping[str, Any]) -> str:
        """Keep what a sign-in answered; the user's id."""
        self._device_token = pair.get("deviceToken", self._device_token)
        with self._turn:
            before = self.kept()
            if before is not None and before.is_guest and before.user_id != pair["userId"]:
                for keeper in [*self.keepers]:
                    keeper.part()
            self.keep(entered(before, pair))
        return str(pair["userId"])

    def use(self, tokens: Mapping[str, Any]) -> None:
        """Take tokens that a server of one's own got: what `POST /v1/users/{id}/sessions` answered,
        or a sign-in elsewhere."""
        self.begin(tokens)

    def begin_as_guest_flow(self) -> Flow[str]:
        """Begin without signing in."""
        if (user_id := self.user_id) is not None:
            return user_id
        reply: Reply = yield Call("POST", "/v1/auth/guests", body=self._on_device())
        pair = reply.checked().json()
        self._device_token = pair.get("deviceToken", self._device_token)
        self.keep(replace(Tokens.of(pair), is_guest=True))
        return str(pair["userId"])

    def request_code_flow(self, recipient: Mapping[str, str]) -> Flow[str]:
        """Ask for a code."""
        device = {} if self._device_token is None else {"deviceToken": self._device_token}
        reply: Reply = yield Call("POST", "/v1/auth/otp", body={**recipient, **device})
        return str(reply.checked().json()["challengeId"])

    def sign_in_flow(self, challenge_id: str, code: str) -> Flow[SignedIn]:
        """Give the code back, with the guest of this device where there is one."""
        body = {"challengeId": challenge_id, "code": code, **self._on_device()}
        kept = self.kept()
        if kept is not None and kept.is_guest and kept.refresh:
            body["guestToken"] = kept.refresh
        reply: Reply = yield Call("POST", "/v1/auth/otp/verify", body=body)
        pair = reply.checked().json()
        self.begin(pair)
        return SignedIn.of(pair)

    def merge_guest_flow(self, keep: Keep) -> Flow[None]:
        """Take over what the guest has whom a sign-in has kept."""
        kept = self.kept()
        if kept is None or kept.guest is None:
            raise NoGuest("no guest was kept on this device")
        said = keep if isinstance(keep, str) else dict(keep)
        body = {"guestToken": kept.guest.refresh, "keep": said}
        reply = yield from self.send_flow(Call("POST", "/v1/users/me/guests", body=body))
        reply.checked()
        with self._turn:
            now = self.kept()
            self.keep(None if now is None else now.joined())
        for keeper in [*self.keepers]:
            keeper.join()

    def forget_guest_flow(self) -> Flow[None]:
        """Forget the guest whom a sign-in has kept."""
        kept = self.kept()
        if kept is None or kept.guest is None:
            return
        guest = kept.guest
        with suppress(Unreachable, SatchelError):  # it ends by itself
            yield Call("POST", "/v1/auth/logout", body={"refreshToken": guest.refresh})
        for name in [each for each in self.left if each[0] == guest.user_id]:
            self.left.pop(name).drop()
        with self._turn:
            now = self.kept()
            self.keep(None if now is None else replace(now, guest=None))

    def _on_device(self) -> dict[str, str]:
        return {} if self._device_info is None else {"deviceInfo": self._device_info}

    def sign_out_flow(self, *, discard_unsent: bool) -> Flow[None]:
        """End the session, here and at the server."""
        if not discard_unsent:
            for keeper in [*self.keepers]:
                with suppress(Unreachable, SignedOut, SatchelError):
                    yield from keeper.flush_flow()
            if count := sum(keeper.pending for keeper in self.keepers):
                raise UnsentWork(count)
        if self.kept() is not None:
            with suppress(Unreachable, SignedOut):  # it ends by itself
                yield from self.send_flow(Call("POST", "/v1/auth/logout"))
        for keeper in [*self.keepers]:
            keeper.leave()
        self.keepers.clear()
        self.keep(None)

    def send_flow(self, call: Call) -> Flow[Reply]:
        """A request with the person's token; renewed and sent again where it was over."""
        kept = self.kept()
        if kept is None:
            raise SignedOut("nobody is signed in")
        reply: Reply = yield call.with_headers(_bearer(kept))
        if reply.status != 401:
            return reply
        renewed = yield from self._renewed_flow(kept)
        reply = yield call.with_headers(_bearer(renewed))
        return reply

    def renew_flow(self) -> Flow[None]:
        """Renew the tokens before they are over, where that can be done."""
        kept = self.kept()
        if kept is not None and (kept.refresh or self._renew is not None):
            yield from self._renewed_flow(kept)

    def _renewed_flow(self, old: Tokens) -> Flow[Tokens]:
        """Tokens that hold. The server answers two who renew at once with the same successor."""
        now = self.kept()
        if now is not None and now.access != old.access:
            return now
        if now is None:
            return self._over(old)
        if not old.refresh:
            return (yield from self._another_flow(old))
        reply: Reply = yield Call("POST", "/v1/auth/refresh", body={"refreshToken": old.refresh})
        try:
            pair = reply.checked().json()
        except Unauthenticated:
            return self._over(old)
        with self._turn:
            after = self.kept()
            if after is not None and after.access != old.access:
                return after  # somebody has signed in meanwhile
            renewed = old.renewed(pair)
            self._device_token = pair.get("deviceToken", self._device_token)
            self.keep(renewed)
        return renewed

    def _another_flow(self, old: Tokens) -> Flow[Tokens]:
        """Another token from the app's own server."""
        tokens = None
        if self._renew is not None:
            try:
                tokens = yield Ask(self._renew, ())
            except Exception as error:
                raise Unreachable("no other token could be had") from error
        if tokens is None:
            return self._over(old)
        self.begin(tokens)
        return entered(self.kept(), tokens)

    def _over(self, old: Tokens) -> Tokens:
        kept = self.kept()
        if kept is not None and kept.access != old.access:
            return kept
        self.keep(None)
        raise SignedOut("the session has ended")


def _bearer(tokens: Tokens) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.access}"}
