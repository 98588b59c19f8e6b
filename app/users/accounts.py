"""Which account a user belongs to: set by admins, and fixed while cards refer to the user."""

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.errors import BadReference, Invalid, NotFound, Restricted
from app.relations.guards import check_references
from models.base import Raw, parse_id
from models.card import Card
from models.user import User
from models.values import Json


def account_of(value: Json) -> ObjectId | None:
    """The account id that a body spells.

    Raises:
        Invalid: it is no id.
    """
    if value is None:
        return None
    account_id = parse_id(value) if isinstance(value, str) else None
    if account_id is None:
        raise Invalid.field("/accountId", "malformed", "an account id has 24 hex digits")
    return account_id


async def check_move(user: User, account_id: ObjectId | None, session: AsyncClientSession) -> None:
    """Within the transaction that changes a user's account: refer to the new one, unless cards keep
    the user.

    Giving the user a card counts up the user's guard, which conflicts with the change.

    Raises:
        Restricted: cards refer to the user.
        BadReference: there is no such active account.
    """
    if cards := await _cards_of(user, session):
        raise Restricted(
            "cards refer to the user, whose account cannot change",
            extra={"blockers": [{"collection": "cards", "ids": cards, "reason": "cards.userId"}]},
        )
    try:
        await check_references(User, {"_id": user.id, "accountId": account_id}, session)
    except NotFound:
        raise BadReference("There is no such active account", "accountId") from None


async def _cards_of(user: User, session: AsyncClientSession) -> list[str]:
    rows: list[Raw] = (
        await Card.raw().find({"userId": user.id}, {"_id": 1}, session=session).limit(20).to_list()
    )
    return [str(row["_id"]) for row in rows]
