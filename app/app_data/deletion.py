"""What becomes of values when their person is merged into another."""

from collections.abc import Sequence
from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession

from app.relations.hooks import Carried, Hooks, Merge
from models.app_data import AppData
from models.app_data_merge import carry
from models.base import Raw


async def move_values(rows: Sequence[Raw], merge: Merge, session: AsyncClientSession) -> Carried:
    """Each becomes a new version of the target's."""
    ids = [row["_id"] for row in rows]
    return Carried(*await carry(ids, merge.source, merge.target, merge.keep, session))


HOOKS: Final = Hooks(moving={AppData: move_values})
