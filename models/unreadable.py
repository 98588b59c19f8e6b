"""What is told of stored rows that are not as our code writes them."""

from typing import Any, Final

FAULTS: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What reading a row that is amiss may raise; pydantic's errors are ValueErrors."""


class Unreadable(ValueError):
    """A stored row holds no document of its collection.

    Attributes:
        collection: where it is.
        row_id: its `_id`.
    """

    def __init__(self, collection: str, row_id: Any) -> None:
        super().__init__(f"{collection}: {row_id}")
        self.collection = collection
        self.row_id = row_id
