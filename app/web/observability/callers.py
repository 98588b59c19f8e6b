"""What a request's log line says of who called: where from, within which trace, and as what."""

import re
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal

from opentelemetry import trace
from starlette.types import Scope

_TRACE_PARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_PLAIN: Final = re.compile(r"(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}", re.ASCII)
_NO_TRACE: Final = "0" * 32
_BITS: Final = {4: 24, 6: 48}
"""How much of an address is the network: of a city's access line, not of a household."""


def client_shown(scope: Scope, how: Literal["none", "network", "address"]) -> str | None:
    """The address of a request's client, or its network; None where it has none, or none is to be
    shown."""
    client = scope.get("client")
    if how == "none" or client is None:
        return None
    if how == "network" and (found := _PLAIN.fullmatch(client[0])):
        return f"{found[1]}.0/24"  # nearly all, at a tenth of the cost
    try:
        address = ip_address(client[0])
    except ValueError:
        return None  # a socket's path, or what a proxy made up
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if how == "address":
        return str(address)
    return str(ip_network((address.packed, _BITS[address.version]), strict=False))


def trace_id(scope: Scope) -> str | None:
    """The id of the trace that a request belongs to: of its span, where spans are made, else as its
    caller sends it (W3C Trace Context)."""
    if "fastapi.telemetry" in scope:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            return trace.format_trace_id(context.trace_id)
    for name, value in scope["headers"]:
        if name == b"traceparent" and (found := _TRACE_PARENT.fullmatch(value)):
            told = found[1].decode()
            return told if told != _NO_TRACE else None
    return None


def caller_kind(caller: str | None) -> str:
    """`key`, `user`, or `nobody` where no caller is known."""
    return "nobody" if caller is None else caller.partition(":")[0]
