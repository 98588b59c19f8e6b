"""An export for people: a ZIP archive with a file of JSON for each kind, made as it is sent."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from typing import IO, Any, Final

import orjson

from app.people.out.exporting import BROKEN, END, Line
from app.web.body import dump_json
from models.base import Raw

_READ_ME: Final = """Everything that is kept about you, as of one moment.

Each file is a list of documents in JSON, which every browser shows. `users.json` is who you are,
`appdata.json` what apps keep for you, `activities.json` and `analytics.json` what you did,
`refreshtokens.json` where you are signed in. Secrets are left out. `contents.json` says how many
documents there are of each kind; if it is missing, this is not everything.
"""
_LAST: Final = {END: "contents.json", BROKEN: "INCOMPLETE.json"}
"""Files that say how it ended."""
_AT_ONCE: Final = 64 * 1024


class _Sink(io.RawIOBase):
    """Takes what the archive writes until it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class _Archive:
    """An archive under way: a list of documents for each kind."""

    def __init__(self) -> None:
        self.sink = _Sink()
        self._archive = zipfile.ZipFile(self.sink, "w", zipfile.ZIP_DEFLATED)
        self._archive.writestr("README.txt", _READ_ME)
        self._file: IO[bytes] | None = None
        self._kind = ""
        self._waiting: list[bytes] = []
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether so much waits that it is worth a thread's while."""
        return self._size >= _AT_ONCE

    def add(self, kind: str, document: Raw) -> None:
        """One more; of another kind it ends the list before."""
        if kind != self._kind:
            self.end_list()
            self._kind = kind
        if kind in _LAST:
            text = orjson.dumps(document, option=orjson.OPT_INDENT_2)
            self._archive.writestr(_LAST[kind], text)
            return
        if self._file is None:
            self._file = self._archive.open(f"{kind}.json", "w", force_zip64=True)
            self._waiting.append(b"[\n" + dump_json(document))
        else:
            self._waiting.append(b",\n" + dump_json(document))
        self._size += len(self._waiting[-1])

    def pack(self) -> None:
        """Pack what waits; it takes its time, and lets other threads go on."""
        if self._file is not None:
            self._file.write(b"".join(self._waiting))
        self._waiting.clear()
        self._size = 0

    def end_list(self) -> None:
        """The list of a kind is whole."""
        if self._file is not None:
            self._waiting.append(b"\n]\n")
            self.pack()
            self._file.close()
            self._file = None

    def close(self) -> None:
        """What there is, with its contents."""
        self.end_list()
        self._archive.close()


async def zip_of(lines: AsyncIterator[Line]) -> AsyncIterator[bytes]:
    """The archive of an export, part by part.

    Where the export breaks off, the archive is closed with what there is, and says so; what went
    wrong is raised all the same.
    """
    archive, failure = _Archive(), None
    try:
        async for kind, document in lines:
            archive.add(kind, document)
            if archive.is_full:
                await asyncio.to_thread(archive.pack)
                yield archive.sink.take()
    except Exception as error:
        failure = error
    finally:
        archive.close()
    yield archive.sink.take()
    if failure is not None:
        raise failure
