"""How far the declared queries of an app are."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from app.errors import NotFound
from models.app import App
from models.app_data_queries import queries_of
from models.base import Fields

State = Literal["ready", "building"]
STATES_SHOWN: Final[dict[str, Any]] = {"queries": {"byDue": "ready", "byTitle": "building"}}


class QueryStates(Fields):
    """How far the queries of an app are."""

    queries: Annotated[
        dict[str, State],
        Field(description="By name; what is `building` is answered 409 `index_building`."),
    ]


async def query_states(app_id: str) -> QueryStates:
    """Which of an app's queries are built.

    Raises:
        NotFound: the app is not registered.
    """
    app = await App.find_by_id(app_id)
    if app is None:
        raise NotFound("there is no such app")
    ready = set(app.queries_ready)
    return QueryStates(
        queries={
            name: "ready" if query.id in ready else "building"
            for name, query in queries_of(app).items()
        }
    )
