"""How accounts are sent."""

from typing import Annotated

from pydantic import Field

from app.shown.documents import AccountView
from models.account import Account
from models.base import Fields

Secret = Annotated[
    str,
    Field(
        repr=False,
        description="Signs what the webhook is sent; shown this once (Standard Webhooks).",
    ),
]


class CreatedAccount(AccountView):
    """A new account, with its webhook's secret."""

    webhook_secret: Secret


class WebhookSecret(Fields):
    """A fresh webhook secret; the one before it goes on signing beside it for a day."""

    webhook_secret: Secret


def account_view(account: Account) -> AccountView:
    """An account as sent."""
    return AccountView.model_validate(account)
