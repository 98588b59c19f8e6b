"""`python -m scripts demo`: a believable data set for a running Satchel."""

from scripts.demo.command import demo

__all__ = ["demo"]
