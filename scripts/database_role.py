"""The rights that Satchel needs in its MongoDB: a role of its own, and what a user has of it."""

from collections.abc import Mapping
from typing import Any, Final

ROLE: Final = "satchel"
ADMIN: Final = "admin"
"""The database that keeps the role; a role that reads a parameter of the server can be nowhere
else."""

OF_DATABASE: Final[Mapping[str, str]] = {
    "find": "every read",
    "insert": "every write that makes a document",
    "update": "every write that changes one",
    "remove": "deletions",
    "changeStream": "event streams, and workers that wait for jobs",
    "listCollections": "every start",
    "listIndexes": "/readyz, and `indexes`",
    "createIndex": "`indexes apply`",
    "dropIndex": "`indexes apply --replace` and `--prune`",
    "collMod": "`indexes apply`, of an expiry time",
    "indexStats": "`indexes stats`, and the console's page of it",
    "collStats": "the same, of the sizes of indexes",
    "enableProfiler": "`indexes stats --profile`",
    "dbStats": "`backup`, for its progress",
    "dropCollection": "`restore --replace`",
}
"""An action on every collection of the database -> what needs it."""
OF_SERVER: Final[Mapping[str, str]] = {
    "getParameter": "every start: how long a transaction may live",
}
"""The same, of the server as a whole."""
PROFILE: Final = "system.profile"
"""The profiler's notes; rights to every collection leave out those of the system."""


def privileges(database: str) -> list[dict[str, Any]]:
    """The privileges of the role, for Satchel in a database."""
    return [
        {"resource": {"db": database, "collection": ""}, "actions": list(OF_DATABASE)},
        {"resource": {"db": database, "collection": PROFILE}, "actions": ["find"]},
        {"resource": {"cluster": True}, "actions": list(OF_SERVER)},
    ]


def lacking(status: Mapping[str, Any], database: str) -> list[str]:
    """The rights that a user lacks, by the answer to `connectionStatus` with its privileges.

    None where nobody is authenticated: then the database asks for no rights.
    """
    told = status["authInfo"]
    if not told["authenticatedUsers"]:
        return []
    given = told["authenticatedUserPrivileges"]
    needed = [
        (part["resource"], action) for part in privileges(database) for action in part["actions"]
    ]
    return [
        action
        for resource, action in needed
        if not any(
            action in each["actions"] and _covers(each["resource"], resource) for each in given
        )
    ]


def has_more(status: Mapping[str, Any], database: str) -> bool:
    """Whether a user may do something outside of Satchel's database, as root may."""
    given = status["authInfo"].get("authenticatedUserPrivileges", [])
    return any(
        each["resource"].get("db") not in (database, None)
        or each["resource"].get("anyResource", False)
        or (each["resource"].get("cluster", False) and set(each["actions"]) - set(OF_SERVER))
        for each in given
    )


def _covers(given: Mapping[str, Any], needed: Mapping[str, Any]) -> bool:
    """Whether a right to one resource is one to the other."""
    if given.get("anyResource"):
        return True
    if needed.get("cluster"):
        return bool(given.get("cluster"))
    if "db" not in given or given["db"] not in ("", needed["db"]):
        return False
    of_system = needed["collection"].startswith("system.")
    return given["collection"] == needed["collection"] or (
        not given["collection"] and not of_system
    )
