"""uvicorn's connection, which hears nothing for a moment from whoever was just refused, and ends
streams on a stop.

A client that asks again at once is held up by the kernel, and costs neither the memory of one more
in line nor the time of another refusal. A stream has no end by itself: it is told when the server
is to stop and when its client has left, and has what cuts it off.
"""

import random
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.web.observability import REFUSED_HERE
from app.web.streams.signals import ABORT
from app.web.streams.stream import leave, stop

_SECONDS: Final = (0.5, 1.0)
"""Shortest and longest pause. Longer ones would hold up a proxy that sends others' requests on the
connection."""


class PatientProtocol(HttpToolsProtocol):
    """For `uvicorn --http app.web.admission.pauses:PatientProtocol`."""

    def on_message_begin(self) -> None:
        """Let the answer cut the connection off."""
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[ABORT] = self.transport.abort

    def connection_lost(self, exc: Exception | None) -> None:
        """Have a stream end, as its client has left."""
        super().connection_lost(exc)
        if self.cycle is not None and not self.cycle.response_complete:
            leave(cast(dict[str, Any], self.cycle.scope))

    def shutdown(self) -> None:
        """Have a stream end, as the server stops; else it would be waited for."""
        super().shutdown()
        if self.cycle is not None and not self.cycle.response_complete:
            stop(cast(dict[str, Any], self.cycle.scope))

    def on_response_complete(self) -> None:
        """Stop reading for a moment where the request was refused."""
        super().on_response_complete()
        refused = REFUSED_HERE in cast(dict[str, Any], self.cycle.scope)
        if refused and self.cycle.response_complete and not self.transport.is_closing():
            self.flow.pause_reading()
            self.loop.call_later(random.uniform(*_SECONDS), self._listen)

    def _listen(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()
