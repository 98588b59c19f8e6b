"""Requesters: who asks for a code. A client address, a device that has signed in before, or a user
who is signed in.

A device token is `dt_` and 60 bytes: user, session that it was given with, when it is over, and a
    256-bit HMAC over
these. It signs nobody in. It shows that its bearer has been signed in as the user, so that
strangers who ask for codes to the user's phone or mailbox use up nothing of theirs. Nothing of it
is stored.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final, Literal

from bson import ObjectId

from app.auth.codes.senders import Recipient
from app.auth.secret import keyed_hash
from models.auth_identity import AuthIdentity
from models.clock import CLOCK

DEVICE_DAYS: Final = 400  # as long as browsers keep a cookie at most
_PREFIX: Final = "dt_"
_LENGTH: Final = 60
_HEAD: Final = 28


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks. `name` is a client address, or the id of a session or of a user."""

    kind: Literal["client", "device", "user"]
    name: str

    @property
    def pool(self) -> Literal["known", "anybody"]:
        """Whose tries and messages theirs are: those of the recipient's own devices, or those of
        everybody else."""
        return "known" if self.kind == "device" else "anybody"


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device on which a user was signed in, named by the session."""

    user_id: ObjectId
    session_id: ObjectId


class DeviceTokens:
    """Issues device tokens and reads them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, user_id: ObjectId, session_id: ObjectId) -> str:
        """The token of a device on which a user is signed in, good for 400 days."""
        until = int(CLOCK.time()) + DEVICE_DAYS * 86_400
        return self._spell(user_id.binary + session_id.binary + until.to_bytes(4, "big"))

    def read(self, text: str) -> KnownDevice | None:
        """The device of a token; None where it is none of ours, or is over."""
        try:
            raw = urlsafe_b64decode(text.removeprefix(_PREFIX)) if text.startswith(_PREFIX) else b""
        except ValueError:
            return None
        head = raw[:_HEAD]
        if len(raw) != _LENGTH or not hmac.compare_digest(
            self._spell(head).encode(), text.encode("utf-8", "replace")
        ):
            return None
        if int.from_bytes(head[24:], "big") <= CLOCK.time():
            return None
        return KnownDevice(ObjectId(head[:12]), ObjectId(head[12:24]))

    async def requester(self, text: str | None, recipient: Recipient, client: str) -> Requester:
        """Who asks for a code to sign in: the device, where its user signs in by this recipient;
        else the address.

        Without a token of ours nothing is looked up, so that time tells a stranger nothing.
        """
        device = self.read(text) if text is not None else None
        if device is not None:
            identity = await AuthIdentity.find_by_provider(recipient.channel, recipient.address)
            if identity is not None and identity.user_id == device.user_id:
                return Requester("device", str(device.session_id))
        return Requester("client", client)

    def _spell(self, head: bytes) -> str:
        return _PREFIX + urlsafe_b64encode(head + keyed_hash(self._key, head)).decode()
