"""Rows as CSV (RFC 4180), such that a spreadsheet takes no cell for a formula."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from models.base import Raw, rfc3339

_FORMULA: Final = ("=", "+", "-", "@")
_BREAKS: Final = ("\t", "\r", "\n")


def csv_table(columns: Sequence[str], rows: Sequence[Raw]) -> str:
    """The header line, and a line for each row.

    Text that begins with one of `= + - @`, white space before it or not, or with a tab or a line
    break gets an apostrophe before it (OWASP, CSV injection): event names come from clients, and
    whoever opens the table may be an admin.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_defused(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def _defused(cell: object) -> object:
    if isinstance(cell, datetime):
        return rfc3339(cell)
    if isinstance(cell, str) and (cell.startswith(_BREAKS) or cell.lstrip().startswith(_FORMULA)):
        return f"'{cell}"
    return cell
