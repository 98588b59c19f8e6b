"""The rules of spending profiles: what changes of one affects every card that has it."""

from collections.abc import Mapping
from typing import Any

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.accounts.access import check_references_within
from app.cards.outbox import NewCardEvent, begin, note
from app.database import transaction
from app.errors import NotFound
from app.shown.documents import SpendingProfileView, current, profile_view
from app.web.idempotency import Claim, Done, once
from app.web.patches import PatchKind, patched
from app.web.preconditions import require
from models.base import Session
from models.card import Card
from models.precondition import Expected
from models.spending_profile import SpendingProfile, SpendingProfileContent
from models.values import Json


async def create_profile(
    account_id: PydanticObjectId, content: SpendingProfileContent, claim: Claim | None
) -> Done:
    """A spending profile of the account.

    Raises:
        AccountNotActive: the account is paused or closed.
        NotFound: there is no such account.
    """

    async def work(session: AsyncClientSession, profile_id: ObjectId) -> None:
        profile = SpendingProfile(
            id=profile_id, account_id=account_id, **content.model_dump(by_alias=False)
        )
        await check_references_within(
            SpendingProfile, {**profile.stored(), "_id": profile_id}, session
        )
        await profile.add(session)
        await begin(account_id, NewCardEvent(profile_id, "spending_profile.created"), session)

    return await once(claim, 201, work)


async def find_profile(where: Mapping[str, Any], session: Session = None) -> SpendingProfile:
    """The spending profile that a filter names.

    Raises:
        NotFound: there is none.
    """
    row = await SpendingProfile.raw().find_one(where, session=session)
    if row is None:
        raise NotFound("there is no such spending profile")
    return SpendingProfile.from_stored(row)


async def patch_profile(
    account_id: ObjectId,
    profile_id: ObjectId,
    kind: PatchKind,
    patch: Json,
    expected: Expected | None,
) -> SpendingProfileView:
    """Change a spending profile by a patch of what `GET` shows, and count the cards that it is on.

    One event is written for the profile, however many cards there are; the worker tells each of
    them.

    Raises:
        NotFound: the account has no such profile.
        VersionMismatch: the precondition does not hold.
        Invalid: the result is not acceptable.
    """
    where = {"_id": profile_id, "accountId": account_id}

    async def work(session: AsyncClientSession) -> SpendingProfileView:
        profile = await find_profile(where, session)
        shown = current(profile_view(profile))
        require(expected, shown)
        _, fields = patched(shown, kind, patch, SpendingProfileContent)
        affected = await Card.raw().count_documents(
            {"spendingProfileId": profile_id}, session=session
        )
        if fields:
            changed = await SpendingProfile.change(
                where, fields, expected=profile.version, session=session
            )
            if changed is None:
                raise NotFound("there is no such spending profile")
            profile = changed
            names = tuple(fields)
            await note(
                [
                    NewCardEvent(
                        profile_id, "spending_profile.updated", names, affected_cards=affected
                    )
                ],
                session,
            )
        return profile_view(profile).model_copy(update={"affected_cards": affected})

    return await transaction(work)
