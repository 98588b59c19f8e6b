"""The rules of cards: who may hold one, how its status moves, and that each change is told to the
account's webhook."""

from typing import Any

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.accounts.access import check_references_within
from app.cards.outbox import NewCardEvent, begin, note
from app.cards.queries import read_card
from app.database import transaction
from app.errors import BadTransition, NotFound
from app.relations.guards import check_references
from app.shown.documents import CardView, current
from app.web.idempotency import Claim, Done, once
from app.web.patches import PatchKind, apply_patch, patched
from app.web.preconditions import require
from models.card import TRANSITIONS, Card, CardChange, CardContent
from models.ledger_note import LedgerNote
from models.precondition import Expected
from models.values import Json

_ACCOUNT = frozenset({"accountId"})
_REFERENCES = frozenset({"userId", "spendingProfileId"})


async def create_card(
    account_id: PydanticObjectId, content: CardContent, claim: Claim | None
) -> Done:
    """A card for a user of the account.

    Raises:
        AccountNotActive: the account is paused or closed.
        NotFound: there is no such account.
        BadReference: the user or the spending profile is not there, or belongs to another account.
    """

    async def work(session: AsyncClientSession, card_id: ObjectId) -> None:
        card = Card(id=card_id, account_id=account_id, **content.model_dump(by_alias=False))
        await check_references_within(Card, {**card.stored(), "_id": card_id}, session)
        await card.add(session)
        await begin(account_id, NewCardEvent(card_id, "card.created", status=card.status), session)

    return await once(claim, 201, work)


async def patch_card(
    account_id: ObjectId, card_id: ObjectId, kind: PatchKind, patch: Json, expected: Expected | None
) -> CardView:
    """Change a card by a patch of what `GET` shows, its status among the rest.

    Raises:
        NotFound: the account has no such card.
        VersionMismatch: the precondition does not hold.
        BadTransition: the status does not change that way, or is final.
        AccountNotActive: the card is to be opened, and the account is paused or closed.
        BadReference: the user or the spending profile is not there, or belongs to another account.
        Invalid: the result is not acceptable.
    """
    where = {"_id": card_id, "accountId": account_id}

    async def work(session: AsyncClientSession) -> CardView:
        card = await read_card(where, session=session)
        require(expected, current(card))
        fields = _changes(card, kind, patch)
        if not fields:
            return card
        row = {"_id": card_id, "accountId": account_id, **fields}
        if fields.get("status") == "open":
            await check_references_within(Card, row, session, only=_ACCOUNT)
        if references := _REFERENCES & fields.keys():
            await check_references(Card, row, session, only=references)
        changed = await Card.change(where, fields, expected=card.version, session=session)
        if changed is None:
            raise NotFound("there is no such card")
        if fields.get("status") in ("paused", "closed"):
            await LedgerNote.take("card", changed, session, status=changed.status)
        event = NewCardEvent(card_id, "card.updated", changed=tuple(fields), status=changed.status)
        await note([event], session)
        return await read_card(where, session=session)

    return await transaction(work)


def _changes(card: CardView, kind: PatchKind, patch: Json) -> dict[str, Any]:
    """What a patch changes of a card, by stored name."""
    shown = current(card)
    if not TRANSITIONS[card.status]:
        if apply_patch(kind, patch, shown) == shown:
            return {}
        raise BadTransition(f"a card that is {card.status} changes no more")
    content, fields = patched(shown, kind, patch, CardChange)
    if "status" in fields and content.status not in TRANSITIONS[card.status]:
        raise BadTransition(f"a card that is {card.status} does not become {content.status}")
    return fields
