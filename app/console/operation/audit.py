"""The audit trail: what was done to identities, sessions, grants and keys."""

from typing import Final, get_args

from app.console.frame.pages import Desk, Page, Values
from models.audit_event import AuditKind

page = Page(__name__, "Audit trail", "/console/operation/audit", group="Operation", scope="admin")
KINDS: Final[tuple[str, ...]] = get_args(AuditKind)


@page.get()
async def audit(desk: Desk) -> Values:
    """The newest first, of one kind or one person where they are named."""
    asked = {name: desk.query(name) for name in ("kind", "userId")}
    found = await desk.api.get("/v1/admin/audit", **asked, **desk.paging)
    return {"found": found, "kinds": KINDS, "asked": asked}
