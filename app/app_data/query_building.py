"""Builds declared queries: what was stored before an app declared them gets its place in the index.

Processes go on by the settings that they remember, so rows are looked at only when all have heard
of the new ones; and once more later, for a write that was on its way for very long.
"""

from datetime import datetime, timedelta
from typing import Final

from bson import ObjectId

from app.jobs import Claim
from models.app import App
from models.app_data_queries import give_keys, queries_of
from models.base import now

BUILD_JOB: Final = "build-app-queries"
GRACE: Final = timedelta(seconds=10)
"""For writes that have begun by settings which were remembered until then."""
_AGAIN: Final = timedelta(minutes=2)
_APPS: Final = 100
_ROWS: Final = 200


async def build_due(claim: Claim, remembered: timedelta) -> datetime | None:
    """Build what is due.

    Args:
        claim: the job's.
        remembered: for how long processes go by an app's former settings.

    Returns:
        When there is next something to do, None where there is not.
    """
    following: datetime | None = None
    for app in await App.find_changed_queries(_APPS):
        due = _due(app, remembered)
        if due <= now():
            await _build(app, claim)
            due = now()  # it may be wanted once more
        following = due if following is None else min(following, due)
    return following


def _due(app: App, remembered: timedelta) -> datetime:
    assert app.queries_changed_at is not None
    heard = app.queries_changed_at + remembered + GRACE
    return heard if _unbuilt(app) or not app.queries_again else heard + _AGAIN


def _unbuilt(app: App) -> set[str]:
    return {query.id for query in queries_of(app).values()} - set(app.queries_ready)


async def _build(app: App, claim: Claim) -> None:
    """Look at all rows of an app; a worker that takes over goes on where the former one was."""
    again = bool(_unbuilt(app))
    if again or app.queries_again:
        assert app.queries_changed_at is not None
        turn = f"{app.id} {app.version} {app.queries_changed_at.isoformat()} {again}"
        noted = claim.job.progress
        after = (
            ObjectId(noted["after"]) if noted.get("turn") == turn and noted.get("after") else None
        )
        while (after := await give_keys(app, after, _ROWS)) is not None:
            await claim.renew(turn=turn, after=str(after))
    await app.note_queries([query.id for query in queries_of(app).values()], again=again)
