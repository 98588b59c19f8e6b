"""The form of MongoDB's connection string, as far as it can be known without asking anybody."""

import re
from typing import Final

FORM: Final = (
    "is malformed: it begins with mongodb:// or mongodb+srv://, user name and password are"
    " percent-encoded, and a port is a number up to 65535"
)
# An `@` after the hosts may belong to a password that was not escaped: then nothing is shown.
SHOWABLE: Final = re.compile(
    r"(?P<scheme>mongodb(\+srv)?)://([^@/?]*@)?(?P<hosts>[^@/?]+)([/?][^@]*)?"
)
_HOST: Final = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+(?:%[^\[\]@/?\s]+)?\]|[^\[\]:,@/?\s]+)(?::(?P<port>[0-9]{1,5}))?"
)
_MOST: Final = 65535


def is_sound(uri: str) -> bool:
    """Whether a connection string has its form."""
    found = SHOWABLE.fullmatch(uri)
    hosts = [_HOST.fullmatch(each) for each in found["hosts"].split(",")] if found else [None]
    return all(
        host is not None and (host["port"] is None or 0 < int(host["port"]) <= _MOST)
        for host in hosts
    )
