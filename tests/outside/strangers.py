"""Outside systems that know nobody: every token is refused, as Teller and the Git hosts refuse
one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.outside import hosts

_BODY = (
    b'{"message": "Bad credentials", "error": {"code": "unauthorized", "message": "who are you"}}'
)


class _Refuses(BaseHTTPRequestHandler):
    def _refuse(self) -> None:
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(_BODY)))
        self.end_headers()
        self.wfile.write(_BODY)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _refuse  # noqa: N815  # http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def strangers() -> Iterator[dict[str, str]]:
    """The settings by which a Satchel speaks to them, as variables, while the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refuses)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield {
            f"SATCHEL_{name}": url
            for name in ("TELLER_URL", *(name.upper() for name in hosts.at(url)))
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
