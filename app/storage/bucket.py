"""A bucket of a service that speaks S3, as the settings of the archive say that it is reached."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import obstore
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


class Objects:
    """Objects below a prefix of a bucket. One appears whole; its service checks its SHA-256 as
    well."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._store = open_bucket(settings, url)

    def put(self, name: str, file: BinaryIO) -> None:
        """Have an object with the content of a file.

        Raises:
            FileNotFoundError: there is no such bucket.
            ArchiveUnavailableError: it could not be written.
        """
        file.seek(0)
        with told():
            obstore.put(self._store, name, file)

    @contextmanager
    def fetched(self, name: str) -> Iterator[BinaryIO]:
        """An object as a file, at its beginning.

        Raises:
            FileNotFoundError: it is not there.
            ArchiveUnavailableError: it could not be read.
        """
        with scratch() as file:
            with told():
                for part in obstore.get(self._store, name):
                    file.write(part)
            file.seek(0)
            yield file

    def names(self) -> list[str]:
        """The names of all objects, in their order.

        Raises:
            FileNotFoundError: there is no such bucket.
            ArchiveUnavailableError: they could not be listed.
        """
        with told():
            found = [each["path"] for batch in obstore.list(self._store) for each in batch]
        return sorted(map(str, found))

    def remove(self, name: str) -> None:
        """Remove an object, if it is there.

        Raises:
            ArchiveUnavailableError: it could not be removed.
        """
        with told():
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return


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
