"""One person's session: signs in by a code, keeps and renews tokens, sends requests with them."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx2

from satchel_client.errors import SatchelError, SignedOut, Unauthenticated, Unreachable, UnsentWork
from satchel_client.exchange import Call, Flow, Reply, carry_out, carry_out_async

T = TypeVar("T")


class TokenStorage(Protocol):
    """Where tokens are kept: a text, or nothing."""

    def get(self) -> str | None:
        """What is kept."""

    def set(self, text: str | None) -> None:
        """Keep something, or nothing."""


class InMemory:
    """Tokens that end with the process."""

    def __init__(self) -> None:
        self._text: str | None = None

    def get(self) -> str | None:
        """What is kept."""
        return self._text

    def set(self, text: str | None) -> None:
        """Keep something, or nothing."""
        self._text = text


class InFile:
    """Tokens in a file that its owner alone can read."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)

    def get(self) -> str | None:
        """What is kept."""
        return self._path.read_text() if self._path.exists() else None

    def set(self, text: str | None) -> None:
        """Keep something, or nothing."""
        if text is None:
            self._path.unlink(missing_ok=True)
            return
        fresh = self._path.with_name(f"{self._path.name}.new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        fresh.replace(self._path)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in gives."""

    access: str
    refresh: str
    user_id: str


class Guest(Protocol):
    """Who keeps data of the person who is signed in."""

    def flush_flow(self) -> Flow[None]:
        """Send what waits."""

    @property
    def pending(self) -> int:
        """How many changes were not sent yet."""

    def leave(self) -> None:
        """Forget the person's data."""


class Identity:
    """Tokens and what is done with them, whoever sends the requests.

    Args:
        url: of the Satchel.
        tokens: where tokens are kept; in memory if not said.
        device_info: what the person sees of this device in the list of their sessions.
    """

    def __init__(
        self, url: str, tokens: TokenStorage | None = None, *, device_info: str | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._storage = tokens or InMemory()
        self._device_info = device_info
        self._device_token: str | None = None
        self.guests: list[Guest] = []

    @property
    def user_id(self) -> str | None:
        """Who is signed in, None where nobody is."""
        kept = self.kept()
        return None if kept is None else kept.user_id

    def kept(self) -> Tokens | None:
        """The tokens."""
        text = self._storage.get()
        return None if text is None else Tokens(**json.loads(text))

    def keep(self, tokens: Tokens | None) -> None:
        """Keep tokens, or none."""
        text = None
        if tokens is not None:
            text = json.dumps(
                {"access": tokens.access, "refresh": tokens.refresh, "user_id": tokens.user_id}
            )
        self._storage.set(text)

    def begin(self, pair: Mapping[str, Any]) -> str:
        """Keep what a sign-in answered; the user's id."""
        self._device_token = pair.get("deviceToken", self._device_token)
        self.keep(Tokens(pair["accessToken"], pair.get("refreshToken", ""), pair["userId"]))
        return str(pair["userId"])

    def request_code_flow(self, recipient: Mapping[str, str]) -> Flow[str]:
        """Ask for a code."""
        device = {} if self._device_token is None else {"deviceToken": self._device_token}
        reply: Reply = yield Call("POST", "/v1/auth/otp", body={**recipient, **device})
        return str(reply.checked().json()["challengeId"])

    def sign_in_flow(self, challenge_id: str, code: str) -> Flow[str]:
        """Give the code back."""
        body = {"challengeId": challenge_id, "code": code}
        if self._device_info is not None:
            body["deviceInfo"] = self._device_info
        reply: Reply = yield Call("POST", "/v1/auth/otp/verify", body=body)
        return self.begin(reply.checked().json())

    def sign_out_flow(self, *, discard_unsent: bool) -> Flow[None]:
        """End the session, here and at the server."""
        if not discard_unsent:
            for guest in [*self.guests]:
                with suppress(Unreachable, SignedOut, SatchelError):
                    yield from guest.flush_flow()
            if count := sum(guest.pending for guest in self.guests):
                raise UnsentWork(count)
        if self.kept() is not None:
            with suppress(Unreachable, SignedOut):  # it ends by itself
                yield from self.send_flow(Call("POST", "/v1/auth/logout"))
        for guest in [*self.guests]:
            guest.leave()
        self.guests.clear()
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
        if kept is not None and kept.refresh:
            yield from self._renewed_flow(kept)

    def _renewed_flow(self, old: Tokens) -> Flow[Tokens]:
        """Tokens that hold. The server answers two who renew at once with the same successor."""
        now = self.kept()
        if now is not None and now.access != old.access:
            return now
        if now is None or not old.refresh:
            return self._over(old)
        reply: Reply = yield Call("POST", "/v1/auth/refresh", body={"refreshToken": old.refresh})
        try:
            pair = reply.checked().json()
        except Unauthenticated:
            return self._over(old)
        self.begin(pair)
        return Tokens(pair["accessToken"], pair["refreshToken"], pair["userId"])

    def _over(self, old: Tokens) -> Tokens:
        kept = self.kept()
        if kept is not None and kept.access != old.access:
            return kept
        self.keep(None)
        raise SignedOut("the session has ended")


class Session(Identity):
    """A session for programs that wait for each answer.

    Args:
        url: of the Satchel.
        tokens: where tokens are kept; in memory if not said.
        device_info: what the person sees of this device in the list of their sessions.
        transport: instead of the network.
    """

    def __init__(
        self,
        url: str,
        tokens: TokenStorage | None = None,
        *,
        device_info: str | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, tokens, device_info=device_info)
        self._http = httpx2.Client(base_url=self.url, transport=transport)

    def run(self, flow: Flow[T]) -> T:
        """Carry out a flow."""
        return carry_out(self._http, flow)

    def request_code(self, *, email: str | None = None, phone_number: str | None = None) -> str:
        """Have a code sent to a mailbox or phone; the challenge's id, which goes into `sign_in`."""
        return self.run(self.request_code_flow(_recipient(email, phone_number)))

    def sign_in(self, challenge_id: str, code: str) -> str:
        """Sign in by the code that came; the user's id."""
        return self.run(self.sign_in_flow(challenge_id, code))

    def sign_out(self, *, discard_unsent: bool = False) -> None:
        """End the session here and at the server, and clear what is kept of the person's data.

        Raises:
            UnsentWork: changes could not be sent, and are not to be discarded.
        """
        self.run(self.sign_out_flow(discard_unsent=discard_unsent))

    def request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        """Any request with the person's token; the value of the answer's body, None where it has
        none."""
        reply = self.run(self.send_flow(Call(method, path, params or {}, body))).checked()
        return reply.json() if reply.content else None

    def close(self) -> None:
        """Close connections."""
        self._http.close()


class AsyncSession(Identity):
    """A session for programs that await. As `Session`."""

    def __init__(
        self,
        url: str,
        tokens: TokenStorage | None = None,
        *,
        device_info: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, tokens, device_info=device_info)
        self._http = httpx2.AsyncClient(base_url=self.url, transport=transport)

    async def run(self, flow: Flow[T]) -> T:
        """Carry out a flow."""
        return await carry_out_async(self._http, flow)

    async def request_code(
        self, *, email: str | None = None, phone_number: str | None = None
    ) -> str:
        """Have a code sent to a mailbox or phone; the challenge's id, which goes into `sign_in`."""
        return await self.run(self.request_code_flow(_recipient(email, phone_number)))

    async def sign_in(self, challenge_id: str, code: str) -> str:
        """Sign in by the code that came; the user's id."""
        return await self.run(self.sign_in_flow(challenge_id, code))

    async def sign_out(self, *, discard_unsent: bool = False) -> None:
        """End the session here and at the server, and clear what is kept of the person's data.

        Raises:
            UnsentWork: changes could not be sent, and are not to be discarded.
        """
        await self.run(self.sign_out_flow(discard_unsent=discard_unsent))

    async def request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        """Any request with the person's token; the value of the answer's body, None where it has
        none."""
        reply = (await self.run(self.send_flow(Call(method, path, params or {}, body)))).checked()
        return reply.json() if reply.content else None

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()


def _recipient(email: str | None, phone_number: str | None) -> dict[str, str]:
    if (email is None) == (phone_number is None):
        raise ValueError("name an email or a phone number")
    return {"email": email} if email is not None else {"phoneNumber": str(phone_number)}


def _bearer(tokens: Tokens) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.access}"}
