"""The database for those who need no running Satchel: the one that is configured or runs, else the
embedded one, started for as long as it is needed."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.settings import Settings
from scripts.data_folder import DataFolder
from scripts.mongod import start_mongod
from scripts.target import NoTargetError, resolve_uri


@contextmanager
def somewhere(settings: Settings, *, alone: bool = False) -> Iterator[str]:
    """The connection string of a database that runs while the block lasts.

    Args:
        settings: where to look.
        alone: no Satchel of `make run` may be using it.

    Raises:
        NoTargetError: one does.
        FolderError, MongodError: the embedded one cannot be started.
    """
    try:
        uri = resolve_uri(settings)
    except NoTargetError:
        if settings.environment == "production":
            raise
    else:
        if alone and settings.mongodb_uri is None:
            raise NoTargetError(
                "Stop `make run` first: nobody may use the database meanwhile. This command starts"
                " the embedded one by itself."
            )
        yield uri
        return
    folder = DataFolder.take(settings.data_dir)
    try:
        with start_mongod(settings.data_dir, binary=settings.mongod) as embedded:
            yield embedded.uri
    finally:
        folder.release()
