"""A bucket of a service that speaks S3, as the settings of the archive say that it is reached."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from obstore.exceptions import BaseError
from obstore.store import S3Store

from app.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

S3: Final = "s3://"
_IN_MEMORY: Final = 16 * 1024 * 1024
_TRIES: Final["RetryConfig"] = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_LONGEST: Final = timedelta(minutes=5)


class ArchiveUnavailableError(OSError):
    """The service that keeps the files did not do what it was asked."""


def open_bucket(settings: Settings, url: str) -> S3Store:
    """The bucket and prefix that a URL such as `s3://bucket/prefix` names."""
    bucket, _, prefix = url.removeprefix(S3).partition("/")
    endpoint = settings.analytics_archive_endpoint
    config: S3Config = {
        "checksum_algorithm": "SHA256",
        "virtual_hosted_style_request": not settings.analytics_archive_path_style,
    }
    if endpoint is not None:
        config["endpoint"] = endpoint.rstrip("/")
    if settings.analytics_archive_region is not None:
        config["region"] = settings.analytics_archive_region
    secret = settings.analytics_archive_secret_access_key
    if settings.analytics_archive_access_key_id is not None and secret is not None:
        config["access_key_id"] = settings.analytics_archive_access_key_id
        config["secret_access_key"] = secret.get_secret_value()
    plain = endpoint is not None and endpoint.startswith("http://")
    options: ClientConfig = {"allow_http": plain, "timeout": _LONGEST}
    return S3Store(
        bucket,
        prefix=prefix.strip("/") or None,
        config=config,
        client_options=options,
        retry_config=_TRIES,
    )


def scratch() -> BinaryIO:
    """A file of our own, in memory while it is small."""
    return cast(BinaryIO, SpooledTemporaryFile(max_size=_IN_MEMORY))


@contextmanager
def told() -> Iterator[None]:
    """The library's faults as ours; of what the service says the first line, which holds no
    credentials."""
    try:
        yield
    except BaseError as error:
        raise ArchiveUnavailableError(
            f"the archive did not answer as it should: {str(error).split(chr(10))[0][:300]}"
        ) from None
