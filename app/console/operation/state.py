"""Whether requests can be served, and what the deployment is."""

from app.console.frame.calls import Refused
from app.console.frame.pages import Desk, Page, Values

page = Page(__name__, "Readiness", "/console/operation", group="Operation", scope="admin")


@page.get()
async def state(desk: Desk) -> Values:
    """What `/readyz` says, and what needs doing."""
    desk.require_admin()
    complaint, ready = None, {}
    try:
        ready = await desk.api.get("/readyz")
    except Refused as refused:
        complaint, ready = refused.detail, dict(refused.problem)
    jobs = await desk.api.get("/v1/admin/jobs")
    return {
        "complaint": complaint,
        "ready": ready,
        "version": desk.request.app.version,
        "settings": desk.request.app.state.settings,
        "failing": [job for job in jobs if job["lastError"]],
        "due": len(jobs),
    }
