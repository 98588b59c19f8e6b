"""Rows as CSV (RFC 4180), such that a spreadsheet takes no cell for a formula."""

import csv
import io
from collections.abc import Sequence
from typing import Final

from models.base import Raw

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_table(columns: Sequence[str], rows: Sequence[Raw]) -> str:
    """The header line, and a line for each row.

    Text that begins with one of `= + - @`, a tab or a carriage return gets an apostrophe before it (OWASP, CSV
    injection): event names come from clients, and whoever opens the table may be an admin.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_defused(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def _defused(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
