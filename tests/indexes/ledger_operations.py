"""What the ledger of deletions asks of the database."""

from typing import Any

from bson import ObjectId

from models import Account, Deletion, Deployment, LedgerNote
from models.base import now

ID = ObjectId()
LEDGER_OPERATIONS: dict[str, list[Any]] = {
    "Deployment.position": [Deployment.position],
    "Deployment.next_number": [Deployment.next_number],
    "Deletion.merged_into": [lambda: Deletion.merged_into(ID)],
    "Deletion.keep": [lambda: Deletion.keep([Deletion(id=ID, root="users", by="x", at=now())])],
    "LedgerNote.enter": [lambda: LedgerNote.enter([{"kind": "deleted", "subject": ID}], None)],
    "LedgerNote.take": [lambda: LedgerNote.take("account", Account(id=ID, name="x"), None)],
    "LedgerNote.revoke": [lambda: LedgerNote.revoke(ID, None)],
    "LedgerNote.oldest": [lambda: LedgerNote.oldest(10)],
    "LedgerNote.waited_for": [lambda: LedgerNote.waited_for([ID])],
    "LedgerNote.drop": [lambda: LedgerNote.drop([ID])],
}
