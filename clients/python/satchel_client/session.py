"""One person's session: signs in by a code, keeps and renews tokens, sends requests with them."""

from collections.abc import Mapping
from typing import Any, TypeVar

import httpx2

from satchel_client.exchange import Call, Flow, carry_out, carry_out_async
from satchel_client.guests import Keep, SignedIn
from satchel_client.identity import Identity, Renew
from satchel_client.tokens import TokenStorage

T = TypeVar("T")


class Session(Identity):
    """A session for programs that wait for each answer.

    Args:
        url: of the Satchel.
        tokens: where tokens are kept; in memory if not said.
        device_info: what the person sees of this device in the list of their sessions.
        renew: for people whom a server of one's own signs in: asks it for another token when one is
            over (`use` takes the first), not through this session: its requests wait for it. What
            it raises counts as a server that cannot be reached.
        transport: instead of the network.
    """

    def __init__(
        self,
        url: str,
        tokens: TokenStorage | None = None,
        *,
        device_info: str | None = None,
        renew: Renew | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, tokens, device_info=device_info, renew=renew)
        self._http = httpx2.Client(base_url=self.url, transport=transport)

    def run(self, flow: Flow[T]) -> T:
        """Carry out a flow."""
        return carry_out(self._http, flow)

    def request_code(self, *, email: str | None = None, phone_number: str | None = None) -> str:
        """Have a code sent to a mailbox or phone; the challenge's id, which goes into `sign_in`."""
        return self.run(self.request_code_flow(_recipient(email, phone_number)))

    def sign_in(self, challenge_id: str, code: str) -> SignedIn:
        """Sign in by the code that came; what a guest has comes along, sent or not: `guest` says
        how."""
        return self.run(self.sign_in_flow(challenge_id, code))

    def begin_as_guest(self) -> str:
        """Begin without signing in: as a user whom nobody knows, who has no way back but the
        tokens; the user's id. Whoever is signed in already stays.

        Raises:
            NotFound: the Satchel takes no guests.
        """
        return self.run(self.begin_as_guest_flow())

    def merge_guest(self, keep: Keep | None = None) -> None:
        """Take over what the guest has whom a sign-in has kept.

        Args:
            keep: whose is kept where both have something: `target` is mine, `source` the guest's;
                or by kind.

        Raises:
            NoGuest: none was kept.
            MergeConflict: it is to be said of more whose is kept.
        """
        self.run(self.merge_guest_flow(keep or {}))

    def forget_guest(self) -> None:
        """Forget the guest whom a sign-in has kept, and what stores in memory have of them."""
        self.run(self.forget_guest_flow())

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
        renew: Renew | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, tokens, device_info=device_info, renew=renew)
        self._http = httpx2.AsyncClient(base_url=self.url, transport=transport)

    async def run(self, flow: Flow[T]) -> T:
        """Carry out a flow."""
        return await carry_out_async(self._http, flow)

    async def request_code(
        self, *, email: str | None = None, phone_number: str | None = None
    ) -> str:
        """Have a code sent to a mailbox or phone; the challenge's id, which goes into `sign_in`."""
        return await self.run(self.request_code_flow(_recipient(email, phone_number)))

    async def sign_in(self, challenge_id: str, code: str) -> SignedIn:
        """Sign in by the code that came; what a guest has comes along, sent or not: `guest` says
        how."""
        return await self.run(self.sign_in_flow(challenge_id, code))

    async def begin_as_guest(self) -> str:
        """Begin without signing in: as a user whom nobody knows, who has no way back but the
        tokens; the user's id. Whoever is signed in already stays.

        Raises:
            NotFound: the Satchel takes no guests.
        """
        return await self.run(self.begin_as_guest_flow())

    async def merge_guest(self, keep: Keep | None = None) -> None:
        """Take over what the guest has whom a sign-in has kept.

        Args:
            keep: whose is kept where both have something: `target` is mine, `source` the guest's;
                or by kind.

        Raises:
            NoGuest: none was kept.
            MergeConflict: it is to be said of more whose is kept.
        """
        await self.run(self.merge_guest_flow(keep or {}))

    async def forget_guest(self) -> None:
        """Forget the guest whom a sign-in has kept, and what stores in memory have of them."""
        await self.run(self.forget_guest_flow())

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
