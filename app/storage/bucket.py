"""A bucket of a service that speaks S3 (by obstore), reached as the settings of the archive say."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


class BucketUnavailableError(OSError):
    """The service that keeps the files did not do what it was asked."""


class BucketStore:
    """Objects below a prefix of a bucket, see `app.storage.Store`. An object appears whole; its
    service checks its SHA-256 as well."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._bucket = _open(settings, url)

    def begin(self, name: str) -> "_Upload":
        """See `Store`."""
        return _Upload(self._bucket, name)

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """See `Store`."""
        with _scratch() as file:
            with _translated():
                for part in obstore.get(self._bucket, name):
                    file.write(part)
            file.seek(0)
            yield file

    def names(self) -> list[str]:
        """See `Store`."""
        with _translated():
            found = [each["path"] for batch in obstore.list(self._bucket) for each in batch]
        return sorted(map(str, found))

    def remove(self, name: str) -> None:
        """See `Store`."""
        with _translated(), suppress(FileNotFoundError):
            obstore.delete(self._bucket, name)

    def sweep(self, below: str = "", older: timedelta = timedelta()) -> None:
        """See `Store`; there is nothing of an object before it is whole."""


class _Upload:
    """See `app.storage.Half`."""

    def __init__(self, bucket: S3Store, name: str) -> None:
        self._bucket, self._name = bucket, name
        self.file = _scratch()

    def keep(self) -> None:
        """See `Half`."""
        self.file.seek(0)
        with _translated():
            obstore.put(self._bucket, self._name, self.file)

    def abandon(self) -> None:
        """See `Half`."""
        self.file.close()


def _config(settings: Settings) -> "S3Config":
    """Where the service is, and whose key it is, as far as the settings tell."""
    config: S3Config = {
        "checksum_algorithm": "SHA256",
        "virtual_hosted_style_request": not settings.analytics_archive_path_style,
    }
    if settings.analytics_archive_endpoint is not None:
        config["endpoint"] = settings.analytics_archive_endpoint.rstrip("/")
    if settings.analytics_archive_region is not None:
        config["region"] = settings.analytics_archive_region
    secret = settings.analytics_archive_secret_access_key
    if settings.analytics_archive_access_key_id is not None and secret is not None:
        config["access_key_id"] = settings.analytics_archive_access_key_id
        config["secret_access_key"] = secret.get_secret_value()
    return config


def _open(settings: Settings, url: str) -> S3Store:
    """The bucket and prefix that a URL such as `s3://bucket/prefix` names."""
    bucket, _, prefix = url.removeprefix(S3).partition("/")
    endpoint = settings.analytics_archive_endpoint
    plain = endpoint is not None and endpoint.startswith("http://")
    options: ClientConfig = {"allow_http": plain, "timeout": _LONGEST}
    return S3Store(
        bucket,
        prefix=prefix.strip("/") or None,
        config=_config(settings),
        client_options=options,
        retry_config=_TRIES,
    )


def _scratch() -> BinaryIO:
    """A file of our own, in memory while it is small."""
    return cast(BinaryIO, SpooledTemporaryFile(max_size=_IN_MEMORY))


@contextmanager
def _translated() -> Iterator[None]:
    """The library's faults as ours; of what the service says the first line, which holds no
    credentials."""
    try:
        yield
    except BaseError as error:
        raise BucketUnavailableError(
            f"the bucket did not answer as it should: {str(error).split(chr(10))[0][:300]}"
        ) from None
