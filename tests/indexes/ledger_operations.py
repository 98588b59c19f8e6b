"""What the ledger of deletions asks of the database."""

from typing import Any

from bson import ObjectId

from models import Account, Deletion, LedgerNote
from models.base import now

ID = ObjectId()
LEDGER_OPERATIONS: dict[str, list[Any]] = {
    "Deletion.keep": [lambda: Deletion.keep([Deletion(id=ID, root="users", by="x", at=now())])],
    "LedgerNote.enter": [lambda: LedgerNote.enter([{"kind": "deleted", "subject": ID}], None)],
    "LedgerNote.take": [lambda: LedgerNote.take("account", Account(id=ID, name="x"), None)],
    "LedgerNote.revoke": [lambda: LedgerNote.revoke(ID, None)],
}
