"""Background jobs: those that are due, and one of them."""

from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values
from app.console.frame.paging import slice_of

page = Page(__name__, "Jobs", "/console/operation/jobs", group="Operation", scope="admin")


@page.get()
async def jobs(desk: Desk) -> Values:
    """Those that are due first, at most 200."""
    found = await desk.api.get("/v1/admin/jobs")
    kind = desk.query("kind")
    kinds = sorted({job["kind"] for job in found})
    fit = [job for job in found if not kind or job["kind"] == kind]
    return {**slice_of(desk, fit), "kinds": kinds, "kind": kind}


@page.get("/console/operation/jobs/{jobId}")
async def job(desk: Desk) -> Values:
    """Its progress, when it runs next, and its last error."""
    return {"job": await desk.api.get(path_of("/v1/admin/jobs/{}", desk["jobId"]))}
