"""Where a webhook may lead: in production to public addresses by https only, so that no one has us
call within."""

from urllib.parse import SplitResult, urlsplit

from app.errors import Invalid
from app.outside.addresses import RefusedAddress, leads_nowhere
from app.settings import Settings


def check_webhook_url(url: str | None, settings: Settings) -> None:
    """Look at a URL that an account is to be given; the addresses of its host are looked at with
    each delivery.

    Raises:
        Invalid: it is malformed, or not acceptable in production.
    """
    if url is None:
        return
    try:
        _parts(url, settings)
    except RefusedAddress as error:
        raise Invalid.field("/webhookUrl", "unacceptable_url", str(error)) from None


def see_that_it_may_lead(url: str, settings: Settings) -> None:
    """Look at a stored URL before something is sent to it: settings may have changed since it was
    given.

    Raises:
        RefusedAddress: it is not acceptable.
    """
    _parts(url, settings)


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
        if leads_nowhere(host, settings.outgoing_private_hosts):
            raise RefusedAddress("the address is not public")
    return parts
