"""Satchel's server and worker."""

from typing import Final

VERSION: Final = "0.1.0"
