"""The fixed cast of callers that access tests are made with."""

from dataclasses import dataclass
from typing import Any

from tests.harness import Api, Caller
from tests.reuse import once

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
    made = await once(_enrolled, api)
    return Cast(
        admin=api.caller(made["admin"]),
        owner=api.token(made["owner"]),
        owner_in_app=api.token(made["owner"], APP),
        stranger=api.token(made["stranger"]),
        app_key=api.caller(made["app_key"]),
        reader=api.caller(made["reader"]),
        nobody=api.caller(None),
    )


async def _enrolled(api: Api) -> dict[str, str]:
    """The users' ids and the keys."""
    admin = await api.key("admin")
    people = {
        name: (
            (
                await admin.post(
                    "/v1/users", json={"email": f"{name}@example.com", "name": name.title()}
                )
            ).json()["id"]
        )
        for name in ("owner", "stranger")
    }
    app_key = await api.key("data:read", "data:write", "events:write", "analytics:read", app_id=APP)
    reader = await api.key("users:read", "data:read", "analytics:read")
    return {**people, "admin": admin.secret, "app_key": app_key.secret, "reader": reader.secret}


@dataclass(frozen=True)
class Programme:
    """A card programme, and who calls about it.

    Attributes:
        account: id of the account; its path is `path`.
        elsewhere: id of another account.
        manager: a key with `accounts:read` and `accounts:write`, bound to the account.
        outsider_key: the same, bound to the other account.
        holder: a user of the account, who has `card`, limited by `profile`.
        colleague: another user of the account, without a card.
        outsider: a user of the other account.
        spare: id of a spending profile of the account that is on no card.
        foreign_profile: id of one of the other account.
    """

    account: str
    elsewhere: str
    manager: Caller
    outsider_key: Caller
    holder: Caller
    colleague: Caller
    outsider: Caller
    profile: str
    spare: str
    foreign_profile: str
    card: str

    @property
    def path(self) -> str:
        return f"/v1/accounts/{self.account}"

    @property
    def card_path(self) -> str:
        return f"{self.path}/cards/{self.card}"

    @property
    def profile_path(self) -> str:
        return f"{self.path}/spending-profiles/{self.profile}"


PROFILE = {"name": "Travel", "limits": {"MONTHLY": 500_000}, "blockedMerchantCategories": ["7995"]}


async def programme_of(api: Api, admin: Caller) -> Programme:
    """Make two accounts with their users, profiles and a card, through the API."""
    made = await once(_programme, api, admin)
    return Programme(
        account=made["account"],
        elsewhere=made["elsewhere"],
        manager=api.caller(made["manager"]),
        outsider_key=api.caller(made["outsider_key"]),
        holder=api.token(made["holder"]),
        colleague=api.token(made["colleague"]),
        outsider=api.token(made["outsider"]),
        profile=made["profile"],
        spare=made["spare"],
        foreign_profile=made["foreign_profile"],
        card=made["card"],
    )


async def _programme(api: Api, admin: Caller) -> dict[str, str]:
    """The ids and keys of a programme."""

    async def make(path: str, body: dict[str, Any]) -> str:
        made = await admin.post(path, json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    account, elsewhere = [
        await make("/v1/accounts", {"name": name}) for name in ("Acme", "Umbrella")
    ]
    here, there = f"/v1/accounts/{account}", f"/v1/accounts/{elsewhere}"
    holder, colleague = [
        await make(f"{here}/users", {"name": name}) for name in ("Holder", "Colleague")
    ]
    profile, spare = [
        await make(f"{here}/spending-profiles", PROFILE | {"name": name})
        for name in ("Travel", "Spare")
    ]
    card = {"userId": holder, "spendingProfileId": profile, "lastFour": "4242"}
    own = {"spendLimit": 5000, "spendLimitDuration": "DAILY"}
    return {
        "account": account,
        "elsewhere": elsewhere,
        "manager": (await api.key("accounts:read", "accounts:write", account_id=account)).secret,
        "outsider_key": (
            (await api.key("accounts:read", "accounts:write", account_id=elsewhere)).secret
        ),
        "holder": holder,
        "colleague": colleague,
        "outsider": await make(f"{there}/users", {"name": "Outsider"}),
        "profile": profile,
        "spare": spare,
        "foreign_profile": await make(f"{there}/spending-profiles", PROFILE),
        "card": await make(f"{here}/cards", card | own),
    }
