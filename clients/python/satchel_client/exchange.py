"""Requests as values: what a client does is written once, and carried out by a client that waits or
one that awaits."""

import asyncio
import json
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

import httpx2

from satchel_client.errors import CODES, KINDS, SatchelError, Unreachable
from satchel_client.storable import dumped

T = TypeVar("T")
_TRIES: Final = 5
_LONGEST_PAUSE: Final = 60.0


class Listener(Protocol):
    """Who hears a stream of events, line by line."""

    def begin(self, response: httpx2.Response) -> None:
        """The stream is open."""

    def hear(self, line: str) -> bool:
        """Take a line; whether it was the last."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `seconds` is how long an answer may take, or be silent; where there is a
    `listening`, it is given the lines of a stream of events, and the reply is empty."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 30.0
    listening: Listener | None = None
    content: bytes | None = None
    """A body that is no JSON value."""

    def with_headers(self, headers: Mapping[str, str]) -> "Call":
        """The same request with further headers."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, its body read."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of events."""
        kind = self.headers.get("content-type", "")
        return self.status < 400 and kind.startswith("text/event-stream")

    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.content)

    def checked(self) -> "Reply":
        """The answer, if it is a success.

        Raises:
            SatchelError: it is none.
        """
        if self.status < 400:
            return self
        raise self.error()

    def error(self) -> SatchelError:
        """The problem that it tells."""
        try:
            problem = self.json()
        except ValueError:  # a proxy's page
            problem = {}
        after = self.headers.get("retry-after", "")
        problem = problem if isinstance(problem, dict) else {}
        kind = CODES.get(str(problem.get("code"))) or KINDS.get(self.status, SatchelError)
        return kind(self.status, problem, float(after) if after.isdigit() else None)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Have the app decide: what `function(*arguments)` returns, awaited where that has to be."""

    function: Any
    arguments: tuple[Any, ...]


Step = Call | Pause | Ask
Flow = Generator[Step, Any, T]
"""What is to be done, step by step: each step is answered with its reply, or with the error that it
ended in."""


def patient(call: Call) -> Flow[Reply]:
    """A request that may be sent again, sent again while the server is busy or cannot be
    reached."""
    for attempt in range(_TRIES):
        last = attempt == _TRIES - 1
        by_lot = random.uniform(0.5, 1.0)  # so that clients do not march
        wait = min(8.0, 0.25 * 2**attempt) * by_lot
        try:
            reply: Reply = yield call
        except Unreachable:
            if last:
                raise
        else:
            if reply.status not in (429, 503) or last:
                return reply
            wait = max(wait, min(reply.error().retry_after or 0.0, _LONGEST_PAUSE))
        yield Pause(wait)
    raise AssertionError("unreachable")


def carry_out(http: httpx2.Client, flow: Flow[T]) -> T:
    """Do what a flow says, waiting for each step."""
    try:
        step = next(flow)
        while True:
            try:
                answer = _wait(http, step)
            except Exception as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def carry_out_async(http: httpx2.AsyncClient, flow: Flow[T]) -> T:
    """The same, awaiting."""
    try:
        step = next(flow)
        while True:
            try:
                answer = await _await(http, step)
            except Exception as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


def _wait(http: httpx2.Client, step: Step) -> Any:
    if isinstance(step, Pause):
        time.sleep(step.seconds)
        return None
    if isinstance(step, Ask):
        return step.function(*step.arguments)
    try:
        if step.listening is not None:
            return _listen(http, step, step.listening)
        return _reply(http.send(_request(http, step)))
    except httpx2.TransportError as error:
        raise Unreachable("the server cannot be reached") from error


async def _await(http: httpx2.AsyncClient, step: Step) -> Any:
    if isinstance(step, Pause):
        await asyncio.sleep(step.seconds)
        return None
    if isinstance(step, Ask):
        made = step.function(*step.arguments)
        return await made if asyncio.iscoroutine(made) else made
    try:
        if step.listening is not None:
            return await _listen_async(http, step, step.listening)
        return _reply(await http.send(_request(http, step)))
    except httpx2.TransportError as error:
        raise Unreachable("the server cannot be reached") from error


def _listen(http: httpx2.Client, call: Call, listening: Listener) -> Reply:
    answer = http.send(_request(http, call), stream=True)
    try:
        reply = Reply(answer.status_code, answer.headers, b"")
        if not reply.is_stream:
            answer.read()
            return _reply(answer)
        listening.begin(answer)
        for line in answer.iter_lines():
            if listening.hear(line):
                break
        return reply
    finally:
        answer.close()


async def _listen_async(http: httpx2.AsyncClient, call: Call, listening: Listener) -> Reply:
    answer = await http.send(_request(http, call), stream=True)
    try:
        reply = Reply(answer.status_code, answer.headers, b"")
        if not reply.is_stream:
            await answer.aread()
            return _reply(answer)
        listening.begin(answer)
        async for line in answer.aiter_lines():
            if listening.hear(line):
                break
        return reply
    finally:
        await answer.aclose()


def _request(http: httpx2.Client | httpx2.AsyncClient, call: Call) -> httpx2.Request:
    body = call.content
    if call.body is not None:
        body = dumped(call.body).encode("utf-8", "surrogatepass")
    headers = {**({} if body is None else {"Content-Type": "application/json"}), **call.headers}
    return http.build_request(
        call.method,
        call.path,
        params=dict(call.params),
        content=body,
        headers=headers,
        timeout=call.seconds,
    )


def problem_of(answer: httpx2.Response) -> SatchelError:
    """The problem that an answer tells, whose body was read."""
    return _reply(answer).error()


def _reply(answer: httpx2.Response) -> Reply:
    return Reply(answer.status_code, answer.headers, answer.content)
