"""The fixed cast of callers that access tests are made with."""

from dataclasses import dataclass

from tests.harness import Api, Caller

APP = "notes"
OTHER_APP = "boats"


@dataclass(frozen=True)
class Cast:
    """Who calls.

    Attributes:
        admin: a key with every scope.
        owner: a user by their token; the data that tests look at is theirs.
        owner_in_app: the same user by a token bound to `APP`.
        stranger: another user.
        app_key: a server's key for data and events, bound to `APP`.
        reader: a key that reads everything and writes nothing.
        nobody: no credentials.
    """

    admin: Caller
    owner: Caller
    owner_in_app: Caller
    stranger: Caller
    app_key: Caller
    reader: Caller
    nobody: Caller


async def enrol(api: Api) -> Cast:
    """Make the cast in an empty database, through the API where it can."""
    admin = await api.key("admin")
    owner = (await admin.post("/v1/users", json={"email": "owner@example.com", "name": "Owner"})).json()["id"]
    stranger = (await admin.post("/v1/users", json={"email": "stranger@example.com", "name": "Stranger"})).json()["id"]
    return Cast(
        admin=admin,
        owner=api.token(owner),
        owner_in_app=api.token(owner, APP),
        stranger=api.token(stranger),
        app_key=await api.key("data:read", "data:write", "events:write", "analytics:read", app_id=APP),
        reader=await api.key("users:read", "data:read", "analytics:read"),
        nobody=api.caller(None),
    )
