"""A second process: on each line that it is sent, eight writers give a parent a child, and it says
how many did."""

import asyncio
import random
import sys

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import bind, connect, transaction
from app.errors import BadReference, NotFound
from app.relations.guards import check_references
from app.settings import Settings
from models.base import Stored
from tests.app.relations.toys import RELATIONS, Key, Person, bind_toys

WRITERS = 8


def child_of(policy: str, town: ObjectId, parent: ObjectId) -> Stored:
    """A child that the policy is about."""
    if policy == "CASCADE":
        return Person(town_id=town, keeper_id=parent)
    if policy == "RESTRICT":
        return Key(town_id=town, person_id=parent, status="open")
    return Key(town_id=town, group_id=parent)


async def give(policy: str, town: ObjectId, parent: ObjectId, late: float) -> bool:
    """Insert a child, checked in its transaction. Returns whether it was acknowledged."""
    await asyncio.sleep(late + random.uniform(0, 0.03))
    child = child_of(policy, town, parent)
    row = child.stored() | {"_id": ObjectId()}

    async def work(session: AsyncClientSession) -> None:
        await check_references(type(child), row, session, relations=RELATIONS)
        await type(child).raw().insert_one(row, session=session)

    try:
        await transaction(work)
    except (NotFound, BadReference):
        return False
    return True


async def give_all(policy: str, town: ObjectId, parent: ObjectId, late: float) -> int:
    """Eight at once, after `late` seconds. Returns how many were acknowledged."""
    return sum(await asyncio.gather(*(give(policy, town, parent, late) for _ in range(WRITERS))))


async def main(uri: str, database: str) -> None:
    settings = Settings(_env_file=None, database=database)
    async with connect(settings, uri, bounded=False) as client:
        await bind_toys(await bind(client, settings))
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            policy, town, parent, late = line.split()
            print(await give_all(policy, ObjectId(town), ObjectId(parent), float(late)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
