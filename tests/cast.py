"""The fixed cast of callers that access tests are made with."""

from dataclasses import dataclass
from typing import Any

from tests.harness import Api, Caller

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
    admin = await api.key("admin")
    owner = (await admin.post("/v1/users", json={"email": "owner@example.com", "name": "Owner"})).json()["id"]
    stranger = (await admin.post("/v1/users", json={"email": "stranger@example.com", "name": "Stranger"})).json()["id"]
    return Cast(
        admin=admin,
        owner=api.token(owner),
        owner_in_app=api.token(owner, APP),
        stranger=api.token(stranger),
        app_key=await api.key("data:read", "data:write", "events:write", "analytics:read", app_id=APP),
        reader=await api.key("users:read", "data:read", "analytics:read"),
        nobody=api.caller(None),
    )


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

    async def make(path: str, body: dict[str, Any]) -> str:
        made = await admin.post(path, json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    account, elsewhere = [await make("/v1/accounts", {"name": name}) for name in ("Acme", "Umbrella")]
    here, there = f"/v1/accounts/{account}", f"/v1/accounts/{elsewhere}"
    holder, colleague = [await make(f"{here}/users", {"name": name}) for name in ("Holder", "Colleague")]
    profile, spare = [await make(f"{here}/spending-profiles", PROFILE | {"name": name}) for name in ("Travel", "Spare")]
    card = {"userId": holder, "spendingProfileId": profile, "lastFour": "4242"}
    own = {"spendLimit": 5000, "spendLimitDuration": "DAILY"}
    return Programme(
        account=account,
        elsewhere=elsewhere,
        manager=await api.key("accounts:read", "accounts:write", account_id=account),
        outsider_key=await api.key("accounts:read", "accounts:write", account_id=elsewhere),
        holder=api.token(holder),
        colleague=api.token(colleague),
        outsider=api.token(await make(f"{there}/users", {"name": "Outsider"})),
        profile=profile,
        spare=spare,
        foreign_profile=await make(f"{there}/spending-profiles", PROFILE),
        card=await make(f"{here}/cards", card | own),
    )
