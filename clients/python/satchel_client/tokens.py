"""Tokens, what a device knows of its session beside them, and where they are kept."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol


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
        # a name of its own: two programs may renew the same tokens at once
        handle, fresh = tempfile.mkstemp(dir=self._path.parent, prefix=f"{self._path.name}.")
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(fresh).replace(self._path)


@dataclass(frozen=True, slots=True)
class Beside:
    """A guest of this device who is there beside the person."""

    user_id: str
    refresh: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in gives.

    Attributes:
        is_guest: whether this is a guest, as far as is known here.
        guest: whom a sign-in has kept.
        merged: guests who are this person now: what of theirs was not sent is the person's to send.
    """

    access: str
    refresh: str
    user_id: str
    is_guest: bool = False
    guest: Beside | None = None
    merged: tuple[str, ...] = ()

    @classmethod
    def of(cls, pair: Mapping[str, Any]) -> "Tokens":
        """Those that an answer tells."""
        return cls(pair["accessToken"], pair.get("refreshToken", ""), pair["userId"])

    @classmethod
    def loaded(cls, text: str) -> "Tokens":
        """Those that were kept."""
        kept = json.loads(text)
        guest = kept.pop("guest", None)
        merged = tuple(kept.pop("merged", ()))
        return cls(**kept, guest=None if guest is None else Beside(**guest), merged=merged)

    def dumped(self) -> str:
        """As they are kept."""
        kept = {name: value for name, value in asdict(self).items() if value}
        return json.dumps({"refresh": self.refresh, **kept})

    def renewed(self, pair: Mapping[str, Any]) -> "Tokens":
        """The same session with other tokens."""
        return replace(self, access=pair["accessToken"], refresh=pair["refreshToken"])

    def joined(self) -> "Tokens":
        """Once the guest was merged."""
        merged = self.merged if self.guest is None else (*self.merged, self.guest.user_id)
        return replace(self, guest=None, merged=merged)


def entered(before: Tokens | None, pair: Mapping[str, Any]) -> Tokens:
    """What is kept after a sign-in: the guest of before is this person, is merged into them, or is
    kept beside them."""
    now = Tokens.of(pair)
    if before is None:
        return now
    if before.user_id == now.user_id:
        return replace(now, guest=before.guest, merged=before.merged)
    if not before.is_guest:
        return now
    # whoever is gone may have been merged by a sign-in whose answer was lost: what they left is not
    # lost with it
    if (pair.get("guest") or {}).get("state") in ("merged", "gone"):
        return replace(now, merged=(before.user_id,))
    return replace(now, guest=Beside(before.user_id, before.refresh))
