"""What the last integrity audit found, and the table of relations."""

from app.console.frame.pages import Desk, Page, Values
from app.console.frame.paging import slice_of

page = Page(__name__, "Integrity", "/console/operation/integrity", group="Operation", scope="admin")


@page.get()
async def integrity(desk: Desk) -> Values:
    """A scan for each relation and each collection; what is amiss first."""
    scans = (await desk.api.get("/v1/admin/integrity"))["scans"]
    faults = ("orphans", "mismatches", "unreadable")
    scans.sort(key=lambda scan: -sum(scan[name] for name in faults))
    return {**slice_of(desk, scans), "relations": await desk.api.get("/v1/admin/relations")}
