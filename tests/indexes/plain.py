"""What a method of a document can be called with by its signature alone."""

import inspect
import typing
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from models import DOCUMENTS
from models.base import Stored
from models.owned import OneToOne, OwnedByUser
from tests.filled import NOW, USERS
from tests.filled_links import CONNECTIONS, PROJECTS

Operation = Callable[[], Awaitable[Any]]
CLASSES: Final[tuple[type[Stored], ...]] = (Stored, OwnedByUser, OneToOne, *DOCUMENTS)

_NAMED: Final[dict[str, Any]] = {
    "user_id": USERS[7],
    "app_id": "app1",
    "connection_id": CONNECTIONS[0],
    "project_id": PROJECTS[0],
    "limit": 5,
    "moment": NOW,
}
_TYPED: Final[dict[Any, Any]] = {
    ObjectId: USERS[7],
    str: "x",
    int: 7,
    type(NOW): NOW,
    timedelta: timedelta(days=1),
}


def methods() -> dict[str, tuple[type[Stored], str]]:
    """Every public method that is awaited, by the class that defines it: `User.find_by_email`."""
    return {
        f"{cls.__name__}.{name}": (cls, name)
        for cls in CLASSES
        for name, member in vars(cls).items()
        if not name.startswith("_")
        and inspect.iscoroutinefunction(getattr(member, "__func__", member))
    }


def _is_session(kind: Any) -> bool:
    return AsyncClientSession in typing.get_args(kind)


def _value(name: str, kind: Any) -> Any:
    """A value for a parameter, None where its name and its type do not say which."""
    if typing.get_origin(kind) in (Collection, Iterable, Sequence):
        inner = _value("", typing.get_args(kind)[0])
        return None if inner is None else [inner]
    if kind not in _TYPED:
        return None
    value = _NAMED.get(name, _TYPED[kind])
    return value if isinstance(value, kind) else _TYPED[kind]


def plain(cls: type[Stored], name: str) -> Operation | None:
    """The one way in which a class's own method can be called: with all that it takes, and in a
    transaction where it takes a session.

    None where somebody has to say it: the method is one document's, or of a class that others are
    made from; a type says nothing of what is meant; or something may be left out, which makes
    another query.
    """
    if cls not in DOCUMENTS or not isinstance(vars(cls)[name], classmethod):
        return None
    method = getattr(cls, name)
    hints = typing.get_type_hints(method.__func__)
    parameters = inspect.signature(method).parameters.values()
    sessions = [each.name for each in parameters if _is_session(hints[each.name])]
    values = {
        each.name: None if each.default is not each.empty else _value(each.name, hints[each.name])
        for each in parameters
        if each.name not in sessions
    }
    if None in values.values():
        return None
    if not sessions:
        return lambda: method(**values)
    return lambda: transaction(lambda session: method(**values, **dict.fromkeys(sessions, session)))


def plain_operations() -> dict[str, list[Operation]]:
    """Every method that its signature says enough of."""
    found = {name: plain(*place) for name, place in methods().items()}
    return {name: [operation] for name, operation in found.items() if operation is not None}
