"""What lives on the internet, here on loopback: an OpenID Connect issuer, and the service that
delivers codes."""

import base64
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

SENDER_SECRET = "a secret that both sides know"
NONCE = "a nonce of the client's"


class Issuer:
    """Signs ID tokens and publishes its keys, as Google and Facebook do."""

    def __init__(self) -> None:
        self.url = ""
        self.fetches = 0
        self.down = False
        self._keys: list[tuple[str, RSAPrivateKey]] = []
        self.rotate()

    def rotate(self, *, keep: bool = True) -> None:
        """Sign by a new key from now on; the one before stays published if `keep`."""
        key = generate_private_key(public_exponent=65537, key_size=2048)
        self._keys = [*(self._keys if keep else []), (f"key-{time.monotonic_ns()}", key)]

    def token(
        self, subject: str, audience: Any = "client", *, kid: str | None = None, **changes: Any
    ) -> str:
        """An ID token; `changes` replace claims, None removes one."""
        moment = int(time.time())
        claims = {
            **{
                "iss": self.url,
                "aud": audience,
                "sub": subject,
                "iat": moment,
                "exp": moment + 600,
                "nonce": NONCE,
            },
            "jti": secrets.token_hex(8),
            **changes,
        }
        own_kid, key = self._keys[-1]
        present = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(present, key, "RS256", {"kid": kid or own_kid})

    def answer(self) -> tuple[int, bytes]:
        """The published keys."""
        self.fetches += 1
        keys = [
            {
                **json.loads(RSAAlgorithm.to_jwk(key.public_key())),
                "kid": kid,
                "use": "sig",
                "alg": "RS256",
            }
            for kid, key in self._keys
        ]
        return (503, b"") if self.down else (200, json.dumps({"keys": keys}).encode())


class Mailbox:
    """Takes codes as the service does that a deployment has: checks the signature, keeps the
    messages."""

    def __init__(self) -> None:
        self.url = ""
        self.messages: list[dict[str, Any]] = []
        self.down = False
        self.answers = True

    def take(self, headers: Any, body: bytes) -> tuple[int, bytes]:
        """One signed message."""
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.digest(SENDER_SECRET.encode(), signed, sha256)).decode()
        if headers["webhook-signature"] != f"v1,{expected}":
            return 401, b""
        if self.down:
            return 500, b""
        self.messages.append(json.loads(body))
        return 204, b""

    def code(self, to: str) -> str:
        """The last code that was sent there."""
        return next(
            str(message["code"]) for message in reversed(self.messages) if message["to"] == to
        )


@contextmanager
def serving(issuer: Issuer, mailbox: Mailbox) -> Iterator[None]:
    """Both on one port of loopback, while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(*issuer.answer())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = mailbox.take(self.headers, body)
            if mailbox.answers:
                self._say(*answer)
            self.close_connection = not mailbox.answers

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.url = mailbox.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
