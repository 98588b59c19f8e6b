"""A proven email goes to whoever proved it, from a user who never did; who had it before is
told."""

from datetime import timedelta
from typing import Final

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.auth.codes.senders import Notice, Recipient, Sender
from app.identity import trail
from app.users.emails import free_email
from models.auth_identity import EMAIL, PHONE, AuthIdentity
from models.base import now
from models.job import Job
from models.user import User

TELL: Final = "tell-former-holder"
TOLD_WITHIN: Final = timedelta(days=1)
"""How long a message is tried that the sender does not take."""


async def take_email(email: str, taker: ObjectId, session: AsyncClientSession) -> bool:
    """Have a proven email free for whoever proved it, in the transaction of the proof.

    A user of an account goes on being shown with it: it is what their account said of them, and
    must not tell the account that somebody has signed up elsewhere.

    Returns:
        Whether it is free; not where another user has verified it, or signs in by it.
    """
    await free_email(email, taker, session)
    row = await User.raw().find_one({"email": email}, session=session)
    if row is None or row["_id"] == taker:
        return True
    holder = User.from_stored(row)
    if await _has_shown(holder, email, session):
        return False
    kept = holder.account_id is not None and not await _is_claimed(
        holder.account_id, email, session
    )
    fields = {"email": None, "emailVerifiedAt": None, "claimedEmail": email if kept else None}
    await User.change({"_id": holder.id}, fields, session=session)
    await trail.record("email_taken", f"user:{taker}", user_id=holder.id, session=session)
    told = Job(id=PydanticObjectId(), kind=TELL, run_at=now(), progress={"userId": str(holder.id)})
    await told.add(session)
    return True


async def own_email(user_id: ObjectId, email: str, session: AsyncClientSession) -> None:
    """Give a user who has none the email that they have proven again, where somebody who never did
    has it."""
    if (
        await User.raw().find_one({"_id": user_id, "email": None}, {"_id": 1}, session=session)
        is None
    ):
        return
    held = await User.raw().find_one({"email": email}, {"_id": 1}, session=session)
    if held is not None and await take_email(email, user_id, session):
        fields = {"email": email, "emailVerifiedAt": now(), "claimedEmail": None}
        await User.change({"_id": user_id}, fields, session=session)


async def tell_former_holder(
    user_id: ObjectId, message_id: str, sender: Sender
) -> Recipient | None:
    """Send who had an email a message to another phone or mailbox of theirs.

    Returns:
        Where it went; None where there is no other.

    Raises:
        Unavailable: the sender did not take it.
    """
    recipient = await _other_recipient(user_id)
    if recipient is not None:
        await sender.tell(Notice(message_id, recipient, "email_taken"))
    return recipient


async def _is_claimed(account_id: ObjectId, email: str, session: AsyncClientSession) -> bool:
    where = {"accountId": account_id, "claimedEmail": email}
    return await User.raw().find_one(where, {"_id": 1}, session=session) is not None


async def _has_shown(holder: User, email: str, session: AsyncClientSession) -> bool:
    """Whether a user has shown that an email is theirs: they verified it, or sign in by codes to
    it."""
    if holder.email_verified_at is not None:
        return True
    identity = await AuthIdentity.find_by_provider(EMAIL, email, session=session)
    return identity is not None and identity.user_id == holder.id


async def _other_recipient(user_id: ObjectId) -> Recipient | None:
    """A phone or mailbox that a user signs in by, or that a provider vouches for; never what is
    another user's."""
    identities = await AuthIdentity.of_user(user_id)
    phones = [Recipient("phone", each.provider_id) for each in identities if each.provider == PHONE]
    if phones:
        return phones[0]
    for each in identities:
        if each.email is not None and each.email_verified:
            found = await User.find_by_email(each.email)
            if found is None or found.id == user_id:
                return Recipient("email", each.email)
    return None
