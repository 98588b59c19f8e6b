"""After a new login the provider may tell the same account under another id: which of before it is.

An account is joined to the one of before that it surely is: name, last four digits, type, currency
and institution agree, and no other does. Where that is not sure the person is asked. The account of
before keeps its id, and so do its transactions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from beanie import PydanticObjectId

from app.connections.providers.api import ToldAccount
from models.bank_account import BankAccount
from models.base import Session
from models.connection import Undecided

_AGREE: Final = ("name", "type", "currency", "last_four", "institution")


@dataclass
class Relinks:
    """What becomes of accounts that are told under an id that is not known.

    Attributes:
        joined: accounts of before, by the provider's id of the account that they are now.
        undecided: those that the person is to decide.
    """

    joined: dict[str, BankAccount] = field(default_factory=dict)
    undecided: list[Undecided] = field(default_factory=list)

    @classmethod
    def of(cls, fresh: Sequence[ToldAccount], left: Sequence[BankAccount]) -> "Relinks":
        """Find them.

        Args:
            fresh: accounts under ids that are not known.
            left: accounts of before that are not told any more.
        """
        sure = {each.id: [old for old in left if _is_surely(old, each)] for each in fresh}
        taken = [old.id for olds in sure.values() for old in olds]
        joined = {
            name: olds[0]
            for name, olds in sure.items()
            if len(olds) == 1 and taken.count(olds[0].id) == 1
        }
        free = [old for old in left if all(old.id != each.id for each in joined.values())]
        rest = {
            each.id: [old for old in free if _may_be(old, each)]
            for each in fresh
            if each.id not in joined
        }
        return cls(joined, [_undecided(each, rest[each.id]) for each in fresh if rest.get(each.id)])


def _is_surely(old: BankAccount, new: ToldAccount) -> bool:
    known = old.last_four is not None and old.institution is not None
    return known and all(getattr(old, name) == getattr(new, name) for name in _AGREE)


def _may_be(old: BankAccount, new: ToldAccount) -> bool:
    """Whether nothing speaks against it; where digits are not known, one of the same type may have
    another name."""
    digits, banks = (old.last_four, new.last_four), (old.institution, new.institution)
    if (
        old.currency != new.currency
        or _differ(*digits)
        or _differ(*banks)
        or new.status == "closed"
    ):
        return False
    return None not in digits or old.type == new.type


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _undecided(new: ToldAccount, candidates: Iterable[BankAccount]) -> Undecided:
    return Undecided(
        provider_id=new.id,
        name=new.name,
        type=new.type,
        currency=new.currency,
        last_four=new.last_four,
        institution=new.institution,
        candidates=sorted(PydanticObjectId(old.id) for old in candidates),
    )


async def join(
    old: BankAccount, provider_id: str, fields: dict[str, Any], session: Session
) -> None:
    """Have an account of before be the one with this id; it is read from its beginning by the next
    pass.

    Args:
        old: the account of before.
        provider_id: the provider's id of the account that it is now.
        fields: what else is new of it, by stored name.
        session: of the transaction.
    """
    link = {"providerId": provider_id, "link": (old.link or 0) + 1, "syncedAt": None}
    await BankAccount.change({"_id": old.id}, {**fields, **link}, session=session)
