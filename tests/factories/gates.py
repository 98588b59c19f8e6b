"""A gate with something behind it."""

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send

from app.settings import Settings
from app.web.admission.gate import Admission


class Behind:
    """The application behind the gate: reads each body, notes it, and answers when it is told
    to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answer = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        await self.answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def gate(behind: Behind, **changes: Any) -> Admission:
    settings = Settings(_env_file=None, **{"max_in_flight": 1, "wait_seconds": 3600, **changes})
    return Admission(behind, settings, lambda: None)
