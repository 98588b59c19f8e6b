"""Two small servers for browsers: pages of another origin, and a network before Satchel that loses
answers."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from typing import Any

import httpx2

PAGE = (
    '<!doctype html><title>Shop</title><link rel="icon" href="data:,"><script'
    ' src="/{script}"></script>'
)
_HOP = {"connection", "content-length", "transfer-encoding", "date", "server"}
_SECONDS = 30


class Network:
    """Hands requests on to a server. Which answers are lost on the way back, `loses` says, by how
    many were before.

    Attributes:
        sent: method and path of each request that the server has answered.
        lost: how many answers never arrived.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = ""
        self.sent: list[str] = []
        self.lost = 0
        self.loses: Callable[[int], bool] = lambda _: False
        self.last = threading.Event()

    def forget(self, loses: Callable[[int], bool] = lambda _: False) -> None:
        """Begin a new story."""
        self.sent, self.lost, self.loses = [], 0, loses

    def posts(self) -> Counter[str]:
        """How often the server took a POST at each path, the query apart."""
        return Counter(
            line.split("?")[0].removeprefix("POST ")
            for line in self.sent
            if line.startswith("POST ")
        )

    def carry(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = [
            (name, value) for name, value in handler.headers.items() if name.lower() not in _HOP
        ]
        answer = httpx2.request(
            handler.command,
            self.target + handler.path,
            headers=headers,
            content=body,
            timeout=_SECONDS,
        )
        before = sum(self.posts().values())
        self.sent.append(f"{handler.command} {handler.path}")
        if handler.command == "POST" and self.loses(before):
            self.lost += 1
            handler.close_connection = (
                True  # without a word: the browser cannot know whether it arrived
            )
            return
        handler.send_response(answer.status_code)
        for name, value in answer.headers.multi_items():
            if name not in _HOP | {"content-encoding"}:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.content)))
        handler.end_headers()
        handler.wfile.write(answer.content)


@contextmanager
def network(target: str) -> Iterator[Network]:
    """A network in front of the server at this URL, on a port of its own."""
    found = Network(target)
    with serving(found.carry) as found.url:
        yield found


@contextmanager
def pages(folder: Path) -> Iterator[str]:
    """The origin of a site: the folder's files, and at `/?<file>` a page that loads that one as a
    script."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        path, _, script = handler.path.partition("?")
        kind, content = "text/html", PAGE.format(script=script).encode()
        if path != "/":
            kind, content = (
                guess_type(path)[0] or "",
                (folder / path.removeprefix("/")).read_bytes(),
            )
        handler.send_response(200)
        handler.send_header("Content-Type", f"{kind}; charset=utf-8")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    with serving(answer) as url:
        yield url.replace("127.0.0.1", "localhost")


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """The URL of a server on a port of its own, every request of which is answered so."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        setattr(Handler, f"do_{method}", lambda handler: answer(handler))  # noqa: PLW0108  # a bound one is no method
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
