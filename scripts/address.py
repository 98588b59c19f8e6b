"""The address of a Satchel: can a server listen there, and does one answer?"""

import errno
import http.client
import socket


class AddressError(Exception):
    """A server cannot listen at an address; the message says what is in the way."""


def check_address(host: str, port: int) -> None:
    """See that a server of ours will be able to listen.

    Raises:
        AddressError: something listens there already, or this machine does not let us.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise AddressError(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
        who = "Another Satchel" if is_satchel(host, port) else "Another program"
        raise AddressError(
            f"{who} listens on {host}:{port} already. Stop it, or choose another port with"
            " SATCHEL_PORT. A second Satchel also needs a data folder of its own:"
            " SATCHEL_DATA_DIR."
        ) from None


def is_satchel(host: str, port: int) -> bool:
    """Whether a Satchel answers at this address."""
    connection = http.client.HTTPConnection(reachable(host), port, timeout=1)
    try:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        return answer.status == http.HTTPStatus.OK and answer.getheader("x-request-id") is not None
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reachable(host: str) -> str:
    """The address by which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # recognised, never bound
