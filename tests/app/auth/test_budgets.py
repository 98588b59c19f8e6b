"""Whom budgets count: one client, however its address is spelled."""

import pytest
from starlette.requests import Request

from app.auth.budgets import client_of


@pytest.mark.parametrize(
    ("address", "client"),
    [("1.2.3.4", "1.2.3.4"), ("::ffff:1.2.3.4", "1.2.3.4"), ("2001:db8::1", "2001:db8::/64"), ("unix", "unix")],
)
def test_a_client_is_an_ipv4_address_in_either_spelling_or_a_network_of_ipv6(address: str, client: str) -> None:
    assert client_of(Request({"type": "http", "client": (address, 1)})) == client
