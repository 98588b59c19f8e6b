"""The canonical form of an email address: one spelling for every way to write the same address."""

import re
import unicodedata

import idna

LONGEST = 254
_LOCAL = re.compile(r"^[^\s@\ud800-\udfff\x00-\x1f\x7f\"(),:;<>\[\\\]]{1,64}$")


def canonical_email(address: str) -> str:
    """Trim, NFKC, casefold, and the domain in IDNA (A-labels): ` Ann@BÜCHER.example ` is `ann@xn--bcher-kva.example`.

    Args:
        address: what a person typed.

    Returns:
        At most 254 characters; two addresses of one mailbox in this sense have equal forms, and a form is its own form.

    Raises:
        ValueError: it is not an address of the form `local@domain.tld`.
    """
    folded = _fold(address.strip())
    local, at, domain = folded.rpartition("@")
    if not at or not _LOCAL.match(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        raise ValueError("not an email address")
    canonical = f"{local}@{_ascii_domain(domain)}"
    if len(canonical) > LONGEST:
        raise ValueError(f"an email address has at most {LONGEST} characters")
    return canonical


def _fold(text: str) -> str:
    """NFKC and casefold until nothing moves: folding can undo a normal form (Unicode 3.13, D146)."""
    for _ in range(4):
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()
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
