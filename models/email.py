"""The canonical form of an email address: one spelling for every way to write the same address."""

import re
import unicodedata

import idna

LONGEST = 254
_LOCAL = re.compile(r"^[^\s@\ud800-\udfff\x00-\x1f\x7f\"(),:;<>\[\\\]]{1,64}$")


def canonical_email(address: str) -> str:
    """Trim, NFKC, the local part casefolded, the domain in IDNA: ` Ann@BÜCHER.example ` is `ann@xn--bcher-kva.example`.

    Domains are never casefolded: `faß.example` and `fass.example` have two owners (UTS 46, nontransitional). That
    `straße@` and `strasse@` are one here makes them unique together, and not the same person: see `is_own_spelling`.

    Args:
        address: what a person typed.

    Returns:
        At most 254 characters; two addresses of one mailbox in this sense have equal forms, and a form is its own form.

    Raises:
        ValueError: it is not an address of the form `local@domain.tld`.
    """
    typed, at, domain = unicodedata.normalize("NFKC", address.strip()).strip().rpartition("@")
    local = _fold(typed)
    if not at or not _LOCAL.match(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        raise ValueError("not an email address")
    canonical = f"{local}@{_ascii_domain(domain)}"
    if len(canonical) > LONGEST:
        raise ValueError(f"an email address has at most {LONGEST} characters")
    return canonical


def is_own_spelling(address: str) -> bool:
    """Whether who holds an address holds its canonical form, too: the local parts differ in ASCII case at most.

    Raises:
        ValueError: it is not an address.
    """
    local = address.strip().rpartition("@")[0]
    lowered = "".join(letter.lower() if letter.isascii() else letter for letter in local)
    return canonical_email(address).rpartition("@")[0] == lowered


def _fold(text: str) -> str:
    """NFKC and casefold until nothing moves: folding can undo a normal form (Unicode 3.13, D146)."""
    for _ in range(4):
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        if folded == text:
            break
        text = folded
    return text


def _ascii_domain(domain: str) -> str:
    try:
        encoded = idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError("the domain of the email address is not valid") from error
    if "." not in encoded.strip("."):
        raise ValueError("the domain of the email address has no dot")
    return encoded.rstrip(".")
