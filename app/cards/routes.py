"""Routes of cards. A card is closed, not deleted: there is no DELETE."""

from functools import partial
from typing import Annotated, Any

from beanie import PydanticObjectId
from bson import ObjectId
from fastapi import Query, Response

from app.accounts.access import READ, WRITE, reach
from app.cards.examples import CARD, CARD_SHOWN
from app.cards.queries import read_card, read_cards
from app.cards.service import create_card, patch_card
from app.errors import NotFound
from app.identity.access import MEMBERS, keys
from app.identity.caller import Caller
from app.shown.documents import CardView
from app.shown.expanding import expand_query
from app.web.cursors import decode_cursor
from app.web.documents import Change, Shown, by_patch, changeable, readable
from app.web.etags import etag
from app.web.idempotency import IdempotencyClaim
from app.web.openapi.answers import problems
from app.web.openapi.examples import page_of
from app.web.openapi.patch_bodies import patches
from app.web.paging import Cursor, Limit, Page, page
from app.web.routing import Router
from models.base import parse_id
from models.card import Card, CardChange, CardContent, CardStatus

router = Router(prefix="/v1/accounts/{accountId}/cards", tags=["Cards"])
Expand = Annotated[str | None, expand_query(Card, CardView)]


@router.post(
    "",
    access=keys("accounts:write"),
    status_code=201,
    operation_id="createCard",
    summary="Create a card",
    responses=problems(400, 409),
)
async def create(
    accountId: str,
    content: Annotated[CardContent, CARD],
    caller: Caller,
    claim: IdempotencyClaim,
    response: Response,
) -> CardView:
    """For a user of the account, which must be active; with a spending profile of the account, or
    limits of its own."""
    reached = await reach(caller, WRITE, accountId)
    done = await create_card(reached.account_id, content, claim)
    card = await read_card(reached.cards(_id=done.resource_id))
    response.headers["Location"] = f"/v1/accounts/{reached.account_id}/cards/{card.id}"
    response.headers["ETag"] = etag(card.version, card.id)
    return card


@router.get(
    "",
    access=MEMBERS,
    operation_id="listCards",
    summary="List the cards of an account",
    responses=problems() | page_of(CARD_SHOWN),
)
async def list_cards(
    accountId: str,
    caller: Caller,
    status: CardStatus | None = None,
    user: Annotated[
        PydanticObjectId | None, Query(alias="userId", description="Who holds them.")
    ] = None,
    profile: Annotated[
        PydanticObjectId | None, Query(alias="spendingProfileId", description="What limits them.")
    ] = None,
    expand: Expand = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[CardView]:
    """The newest first. The account's users see their own."""
    reached = await reach(caller, READ, accountId, by_users=True)
    after = decode_cursor(cursor, ObjectId)
    narrower: dict[str, Any] = {"_id": {"$lt": after[0]}} if after else {}
    narrower |= {"status": status} if status else {}
    narrower |= {"spendingProfileId": profile} if profile else {}
    where = reached.cards(**narrower)
    if user is not None:
        if reached.holder not in (None, user):
            return Page(items=[])
        where["userId"] = user
    embedded = reached.expansion(expand, Card)
    cards = await read_cards(where, limit=limit + 1, expand=embedded)
    items, following = page(cards, limit, lambda card: (ObjectId(card.id),))
    return Page(items=items, next_cursor=following)


@readable(
    router,
    "/{cardId}",
    CardView,
    access=MEMBERS,
    operation_id="getCard",
    summary="Get a card",
    shown=CARD_SHOWN,
)
async def _get(accountId: str, cardId: str, caller: Caller, expand: Expand = None) -> Shown:
    """With the limits that are in force. The account's users see their own."""
    reached = await reach(caller, READ, accountId, by_users=True)
    embedded = reached.expansion(expand, Card)
    card = await read_card(reached.cards(_id=_id_of(cardId)), expand=embedded)
    return Shown(card, card.version, is_whole=not expand)


@changeable(
    router,
    "/{cardId}",
    CardView,
    access=keys("accounts:write"),
    operation_id="patchCard",
    summary="Change a card, or move its status",
    patches=patches(
        CardChange, {"status": "open"}, [{"op": "replace", "path": "/status", "value": "open"}]
    ),
    responses=problems(400, 409, 412, 415),
)
async def _patch(accountId: str, cardId: str, caller: Caller) -> Change:
    """By JSON Merge Patch or JSON Patch. pending becomes open, open and paused each other; closed
    is final."""
    reached = await reach(caller, WRITE, accountId)
    return by_patch(partial(patch_card, reached.account_id, _id_of(cardId)))


def _id_of(card: str) -> ObjectId:
    card_id = parse_id(card)
    if card_id is None:
        raise NotFound("there is no such card")
    return card_id
