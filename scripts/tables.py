"""Tables for people at a terminal, however narrow it is."""

from collections.abc import Iterable

from rich.table import Column, Table


def table(title: str, texts: Iterable[str], numbers: Iterable[str] = ()) -> Table:
    """An empty table of which nothing is cut: what is too long goes on in the next line.

    Args:
        title: above it.
        texts: headings of columns of names and sentences.
        numbers: headings of columns behind them, set to the right.
    """
    return Table(
        *(Column(heading, overflow="fold") for heading in texts),
        *(Column(heading, overflow="fold", justify="right") for heading in numbers),
        title=title,
    )
