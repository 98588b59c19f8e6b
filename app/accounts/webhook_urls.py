"""Where a webhook may lead: in production to public addresses by https only, so that no one has us call within."""

from urllib.parse import SplitResult, urlsplit

from app.errors import Invalid
from app.outgoing import RefusedAddress, leads_nowhere, public_address
from app.settings import Settings


def check_webhook_url(url: str | None, settings: Settings) -> None:
    """Look at a URL that an account is to be given; the addresses of its host are looked at with each delivery.

    Raises:
        Invalid: it is malformed, or not acceptable in production.
    """
    if url is None:
        return
    try:
        _parts(url, settings)
    except RefusedAddress as error:
        raise Invalid.field("/webhookUrl", "unacceptable_url", str(error)) from None


async def resolve(url: str, settings: Settings) -> str | None:
    """The address that is to be connected to; None where any will do (development).

    Raises:
        RefusedAddress: the URL is not acceptable, or leads to a place that is not public.
        OSError: the name service knows no such host.
    """
    parts = _parts(url, settings)
    if settings.environment != "production":
        return None
    return await public_address(parts.hostname or "", parts.port or 443)


def _parts(url: str, settings: Settings) -> SplitResult:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise RefusedAddress("the URL is malformed") from None
    if not host or parts.username is not None:
        raise RefusedAddress("the URL is malformed")
    if settings.environment == "production":
        if parts.scheme != "https":
            raise RefusedAddress("a webhook is reached by https")
        if leads_nowhere(host):
            raise RefusedAddress("the address is not public")
    return parts
