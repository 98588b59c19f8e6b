"""A small world with every policy in it: a diamond, a cycle, a list of members, two kinds of
restriction."""

from beanie import PydanticObjectId, init_beanie
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pymongo.asynchronous.database import AsyncDatabase

from indexes.index import Index
from models.base import Raw, Stored
from models.relations import CASCADE, HOT, PULL, RESTRICT, SET_NULL, Relation


class Town(Stored):
    """The root of everything, and the tenant."""

    guard: int = 0

    class Settings:
        name = "toytowns"


class Person(Stored):
    """Lives in a town, and goes with the one who looks after them: that may go in a circle."""

    town_id: PydanticObjectId
    keeper_id: PydanticObjectId | None = None
    guard: int = 0

    class Settings:
        name = "toypersons"


class Group(Stored):
    """Stays out of the way."""

    town_id: PydanticObjectId
    guard: int = 0

    class Settings:
        name = "toygroups"


class Key(Stored):
    """Forbids that its person goes while it is open, and is orphaned after that; may have a
    group."""

    town_id: PydanticObjectId
    person_id: PydanticObjectId | None = None
    group_id: PydanticObjectId | None = None
    status: str = "open"

    class Settings:
        name = "toykeys"


class Pin(Stored):
    """Forbids that its person goes, unless its town goes."""

    town_id: PydanticObjectId
    person_id: PydanticObjectId

    class Settings:
        name = "toypins"


class Note(Stored):
    """Written for a person all the time."""

    person_id: PydanticObjectId

    class Settings:
        name = "toynotes"


class Member(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    person_id: PydanticObjectId
    role: str = "member"


class Club(Stored):
    """Has members."""

    members: list[Member] = Field(default_factory=list)

    class Settings:
        name = "toyclubs"


TOYS = (Town, Person, Group, Key, Pin, Note, Club)

RELATIONS = (
    Relation(Person, "town_id", Town, CASCADE),
    Relation(Person, "keeper_id", Person, CASCADE),
    Relation(Group, "town_id", Town, CASCADE),
    Relation(Key, "town_id", Town, CASCADE),
    Relation(
        Key,
        "person_id",
        Person,
        RESTRICT,
        tenant="town_id",
        when={"status": {"$in": ["open"]}},
        companion={"status": "orphaned"},
        refused="the person is not of this town",
    ),
    Relation(
        Key, "group_id", Group, SET_NULL, tenant="town_id", refused="the group is not of this town"
    ),
    Relation(Pin, "town_id", Town, CASCADE),
    Relation(Pin, "person_id", Person, RESTRICT, tenant="town_id"),
    Relation(Note, "person_id", Person, CASCADE, HOT),
    Relation(Club, "members.person_id", Person, PULL),
)

INDEXES = {relation.child: [] for relation in RELATIONS}  # type: ignore[var-annotated]
for relation in RELATIONS:
    INDEXES[relation.child].append(Index({relation.stored: 1}, "find by it"))


async def bind_toys(database: AsyncDatabase[Raw]) -> None:
    """Tie the toys to a database, with their indexes."""
    await init_beanie(database=database, document_models=list(TOYS), skip_indexes=True)
    for document, indexes in INDEXES.items():
        for index in indexes:
            await document.raw().create_index(list(index.keys.items()))
