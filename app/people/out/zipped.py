"""An export for people: a ZIP archive with a file of JSON for each kind, made as it is sent."""

import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any, Final

import orjson

from app.people.out.exporting import END, Line
from app.web.body import dump_json

_READ_ME: Final = """Everything that is kept about you, as of one moment.

Each file is a list of documents in JSON, which every browser shows. `users.json` is who you are,
`appdata.json` what apps keep for you, `activities.json` and `analytics.json` what you did,
`refreshtokens.json` where you are signed in. Secrets are left out. `contents.json` says how many
documents there are of each kind; if it is missing, the file was not downloaded to its end.
"""


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


async def zip_of(lines: AsyncIterator[Line]) -> AsyncIterator[bytes]:
    """The archive of an export, part by part."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive, ExitStack() as opened:
        archive.writestr("README.txt", _READ_ME)
        file, current = None, ""
        async for kind, document in lines:
            if kind != current and file is not None:
                file.write(b"\n]\n")
                opened.close()
                file = None
            if kind == END:
                archive.writestr(
                    "contents.json", orjson.dumps(document, option=orjson.OPT_INDENT_2)
                )
            else:
                if file is None:
                    member = archive.open(f"{kind}.json", "w", force_zip64=True)
                    file = opened.enter_context(member)
                file.write((b",\n" if kind == current else b"[\n") + dump_json(document))
            current = kind
            if part := sink.take():
                yield part
    yield sink.take()
