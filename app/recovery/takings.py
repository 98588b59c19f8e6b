"""What was taken away after a backup is taken away again: rights, ways of signing in, access to the
outside.

The ledger takes, and gives nothing. A note is about the versions of a document that are less than
its own: where the database has what came after it, nothing is done. What was taken and given back
after the backup is therefore gone until somebody gives it again.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.accounts.service import move_account
from app.auth.identities.linking import take_identity
from app.connections.service import links_of as bank_links_of
from app.connections.syncs import disconnected
from app.database import transaction
from app.repositories.deactivation import DEACTIVATED
from app.repositories.links import links_of
from app.settings import Settings
from app.web.observability import log
from models import AuthIdentity, Card, Connection, Invitation, Project, User
from models.account import TRANSITIONS, Account
from models.base import Raw, Stored, now
from models.ledger_note import What
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection

Taking = Callable[[Raw, Settings, AsyncClientSession], Awaitable[bool]]
"""Given a note, the settings and a transaction; whether there was anything to take."""
_KEPT: Final = "cards keep somebody in an account that they had left: move the cards by hand"
_LOCKED_OUT: Final = "the only way in that somebody has is one that was unlinked: link another"


async def take_again(note: Raw, settings: Settings) -> int:
    """Take away again what a note says. How many things were taken."""
    taking = TAKINGS[note["what"]][0]

    async def work(session: AsyncClientSession) -> bool:
        return await taking(note, settings, session)

    return int(await transaction(work))


def label_of(note: Raw) -> str:
    """What is counted of a note."""
    return TAKINGS[note["what"]][1]


def _before(note: Raw) -> Raw:
    """The filter of the document as it was before something was taken of it."""
    return {"_id": note["subject"], "version": {"$lt": note["below"]}}


async def _identity(note: Raw, settings: Settings, session: AsyncClientSession) -> bool:
    """By its id, whoever has it by now; the last one, too."""
    gone = await AuthIdentity.find_by_id(note["subject"], session)
    if gone is None:
        return False
    user_id = ObjectId(gone.user_id)
    known = await AuthIdentity.of_user(user_id, session=session)
    if len(known) == 1:
        log.error(_LOCKED_OUT, ids=[str(user_id)])
    await take_identity(settings, user_id, gone, known, session)
    same = {"$inc": {"version": -1}}  # a note of the person may be of the version before
    await User.raw().update_one({"_id": user_id}, same, session=session)
    return True


async def _grants(note: Raw, _: Settings, session: AsyncClientSession) -> bool:
    user = await User.raw().find_one(_before(note), session=session)
    if user is None:
        return False
    gone, fields = note["detail"], Raw()
    for name in ("roles", "permissions"):
        left = [each for each in user.get(name, ()) if each not in gone.get(name, ())]
        if left != user.get(name, []):
            fields[name] = left
    if "role" in gone and user.get("role") == gone["role"]:
        fields["role"] = None
    return bool(fields) and await _set(User, note, fields, session)


async def _inactive(note: Raw, _: Settings, session: AsyncClientSession) -> bool:
    return await _set(User, note, {"status": "inactive"}, session, {"status": {"$ne": "inactive"}})


async def _user(note: Raw, _: Settings, session: AsyncClientSession) -> bool:
    """Out of the account that somebody had left, unless cards of the time keep them."""
    where = {**_before(note), "accountId": note["who"]}
    if await User.raw().find_one(where, {"_id": 1}, session=session) is None:
        return False
    if await Card.raw().find_one({"userId": note["subject"]}, {"_id": 1}, session=session):
        log.error(_KEPT, ids=[str(note["subject"])])
        return False
    return await _set(User, note, {"accountId": None}, session)


async def _member(note: Raw, _: Settings, session: AsyncClientSession) -> bool:
    """Out of the project, and not invited as before; or no admin of it any more."""
    gone, role = note["who"], note["detail"]["role"]
    if role == "none":
        asked = {"projectId": note["subject"], "invited": gone, "createdAt": {"$lte": note["at"]}}
        await Invitation.raw().delete_many(asked, session=session)
    project = await Project.raw().find_one(_before(note), session=session)
    members = project["members"] if project else []
    left = [each for each in members if each["userId"] != gone]
    if len(left) == len(members):
        return False
    if role == "none":
        return await _set(Project, note, {"members": left}, session)
    if all(each["role"] == role for each in members if each["userId"] == gone):
        return False
    demoted = [{**each, "role": role} if each["userId"] == gone else each for each in members]
    return await _set(Project, note, {"members": demoted}, session)


async def _invitation(note: Raw, _: Settings, session: AsyncClientSession) -> bool:
    gone = await Invitation.raw().delete_one({"_id": note["subject"]}, session=session)
    return gone.deleted_count == 1


async def _account(note: Raw, _: Settings, session: AsyncClientSession) -> bool:
    row = await Account.raw().find_one(_before(note), session=session)
    status = note["detail"]["status"]
    if row is None or status not in TRANSITIONS[row["status"]]:
        return False
    await move_account(Account.from_stored(row), status, session)
    return await _set(Account, note, {"status": status}, session)


async def _endpoint(note: Raw, _: Settings, session: AsyncClientSession) -> bool:
    there = {"webhookUrl": {"$exists": True}}
    return await _set(Account, note, {"webhookUrl": None}, session, there)


async def _secret(note: Raw, _: Settings, session: AsyncClientSession) -> bool:
    """The number that the secret is derived by: it never goes back."""
    rotation = note["detail"]["rotation"]
    fields = {"webhookRotation": rotation, "webhookPreviousUntil": None}
    less = {"webhookRotation": {"$lt": rotation}}
    return await _set(Account, note, fields, session, less)


async def _card(note: Raw, _: Settings, session: AsyncClientSession) -> bool:
    status = note["detail"]["status"]
    usable = ["pending", "open"] if status == "paused" else ["pending", "open", "paused"]
    return await _set(Card, note, {"status": status}, session, {"status": {"$in": usable}})


async def _access(note: Raw, _: Settings, session: AsyncClientSession) -> bool:
    """The token is erased, and the access given up at the bank, as then."""
    row = await Connection.raw().find_one(_before(note), session=session)
    if row is None or not row.get("accessToken"):
        return False
    await OutsideLink.add_all(bank_links_of([row]), session)
    return await _set(Connection, note, disconnected("by_user"), session)


async def _repository(note: Raw, _: Settings, session: AsyncClientSession) -> bool:
    """No deliveries are taken, by the secret of before or any: activate it by a fresh one."""
    row = await RepositoryConnection.raw().find_one(_before(note), session=session)
    if row is None or not row.get("isActive"):
        return False
    await OutsideLink.add_all(links_of([row]), session)
    return await _set(RepositoryConnection, note, DEACTIVATED, session)


async def _set(
    document: type[Stored],
    note: Raw,
    fields: Raw,
    session: AsyncClientSession,
    also: Raw | None = None,
) -> bool:
    """Set fields of a document as it was before; None removes one. Its version stays: an act that
    took twice has two notes of one version."""
    kept = {name: value for name, value in fields.items() if value is not None}
    update: Raw = {"$set": {**kept, "updatedAt": now()}}
    update["$unset"] = dict.fromkeys(fields.keys() - kept.keys(), "")
    where = {**_before(note), **(also or {})}
    return (await document.raw().update_one(where, update, session=session)).matched_count == 1


TAKINGS: Final[dict[What, tuple[Taking, str]]] = {
    "access": (_access, "bank connections disconnected again"),
    "account": (_account, "accounts paused or closed again"),
    "card": (_card, "cards paused or closed again"),
    "endpoint": (_endpoint, "webhooks' endpoints removed again"),
    "grants": (_grants, "people who lost grants again"),
    "identity": (_identity, "identities unlinked again"),
    "inactive": (_inactive, "people made inactive again"),
    "invitation": (_invitation, "invitations taken back again"),
    "member": (_member, "members who left a project or its admins again"),
    "repository": (_repository, "repository connections deactivated"),
    "secret": (_secret, "webhooks' secrets rotated again"),
    "user": (_user, "people who left an account again"),
}
"""How each is taken again, and what the report calls it."""
