"""Forms as they are posted: of a bounded size, from pages of ours alone."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request

from app.errors import Forbidden, TooLarge

SMALL: Final = 8192
LARGE: Final = 1024 * 1024
_FIELDS: Final = {SMALL: 10, LARGE: 128}


def refuse_other_sites(request: Request) -> None:
    """See that a form is posted from a page of ours; a client that is no browser says nothing of
    it.

    Browsers tell by `Sec-Fetch-Site` (Fetch Metadata), on plain HTTP only by `Origin`.

    Raises:
        Forbidden: it is posted from elsewhere.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    public = urlsplit(request.app.state.settings.url)
    ours = {f"{scheme}://{request.headers.get('host')}" for scheme in ("http", "https")}
    ours.add(f"{public.scheme}://{public.netloc}")
    foreign = (
        site not in ("same-origin", "none")
        if site is not None
        else origin is not None and origin not in ours
    )
    if foreign:
        raise Forbidden("this form is posted from another site")


def whole_number(text: str, digits: int = 15) -> int | None:
    """The number from 0 on that a text spells, None where it spells none or has more digits."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= digits
    return int(text) if is_number else None


class Form:
    """The fields of a form; one that is not there is empty."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = list(fields)

    def __getitem__(self, name: str) -> str:
        return next((value.strip() for key, value in self._fields if key == name), "")

    def all(self, name: str) -> list[str]:
        """Every value of a field that is there several times."""
        return [value for key, value in self._fields if key == name and value]


async def read_form(request: Request, most: int = LARGE) -> Form:
    """The form that is posted.

    Args:
        request: which posts it.
        most: `SMALL` or `LARGE`, in bytes.

    Raises:
        TooLarge: it has more bytes or fields than a form of ours.
    """
    body = await request.body()
    if len(body) > most:
        raise TooLarge("the form is too large")
    text = body.decode("utf-8", "replace")
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS[most])
    except ValueError:
        raise TooLarge("the form has too many fields") from None
    return Form(fields)
