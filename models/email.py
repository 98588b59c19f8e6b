"""The canonical form of an email address: one spelling for every way to write the same address."""

import re
import unicodedata
from functools import lru_cache

import idna

LONGEST = 254
_LOCAL = re.compile(r"^[^\s@\ud800-\udfff\x00-\x1f\x7f\"(),:;<>\[\\\]]{1,64}$")

_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""What is shown as nothing, or as a blank, without being white space or a format character
(Unicode's Default_Ignorable Code Points, and the empty braille pattern)."""


def canonical_email(address: str) -> str:
    """Trim, NFKC, the local part casefolded, the domain in IDNA: ` Ann@BÜCHER.example ` is
    `ann@xn--bcher-kva.example`.

    Domains are never casefolded: `faß.example` and `fass.example` have two owners (UTS 46,
        nontransitional). That
    `straße@` and `strasse@` are one here makes them unique together, and not the same person: see
    `is_own_spelling`. Nothing in an address is invisible or turns the direction of text: it could
    be taken for another one.

    Args:
        address: what a person typed.

    Returns:
        At most 254 characters; two addresses of one mailbox in this sense have equal forms, and a
        form is its own form.

    Raises:
        ValueError: it is not an address of the form `local@domain.tld`.
    """
    _see_all(address.strip())
    typed, at, domain = unicodedata.normalize("NFKC", address.strip()).strip().rpartition("@")
    local = _fold(typed)
    if (
        not at
        or not _LOCAL.match(local)
        or local.startswith(".")
        or local.endswith(".")
        or ".." in local
    ):
        raise ValueError("not an email address")
    canonical = f"{local}@{_ascii_domain(domain)}"
    if len(canonical) > LONGEST:
        raise ValueError(f"an email address has at most {LONGEST} characters")
    return canonical


def sought_email(address: str) -> str:
    """The canonical form of an address that a query names.

    Raises:
        ValueError: it is no address; where a blank is in it, that is a plus which was not escaped,
            most likely.
    """
    try:
        return canonical_email(address)
    except ValueError as error:
        if " " in address.strip():
            raise ValueError(f"{error}; a plus is written %2B in a query") from None
        raise


def is_own_spelling(address: str) -> bool:
    """Whether who holds an address holds its canonical form, too: the local parts differ in ASCII
    case at most.

    Raises:
        ValueError: it is not an address.
    """
    local = address.strip().rpartition("@")[0]
    lowered = "".join(letter.lower() if letter.isascii() else letter for letter in local)
    return canonical_email(address).rpartition("@")[0] == lowered


def _see_all(text: str) -> None:
    """See that no character is one that nobody sees (Unicode's category Cf has those that turn the
    direction, too).

    Raises:
        ValueError: one is.
    """
    for letter in () if text.isascii() else text:
        if unicodedata.category(letter) in ("Cf", "Cc") or _UNSEEN.match(letter):
            raise ValueError(
                f"an email address holds no invisible character, as U+{ord(letter):04X} is"
            )


def _fold(text: str) -> str:
    """NFKC and casefold until nothing moves: folding can undo a normal form (Unicode 3.13,
    D146)."""
    for _ in range(4):
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        if folded == text:
            break
        text = folded
    return text


@lru_cache(maxsize=1024)
def _ascii_domain(domain: str) -> str:
    """The domain in ASCII; looked up where it was asked for before, since an import's people have
    few."""
    try:
        encoded = idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError("the domain of the email address is not valid") from error
    if "." not in encoded.strip("."):
        raise ValueError("the domain of the email address has no dot")
    _see_all(_shown(encoded))
    return encoded.rstrip(".")


def _shown(encoded: str) -> str:
    """A domain in ASCII as it is shown to people."""
    try:
        return idna.decode(encoded)
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError("the domain of the email address is not valid") from error
