"""What is stored: every document class, in `DOCUMENTS`."""

from typing import Final

from models.account import Account
from models.activity import Activity
from models.analytics import Analytics
from models.api_key import ApiKey
from models.app import App
from models.app_data import AppData
from models.bank_account import BankAccount
from models.base import Stored
from models.card import Card
from models.card_event import CardEvent
from models.card_queue import CardQueue
from models.connection import Connection
from models.deletion import Deletion
from models.guard import Guard
from models.idempotency import IdempotencyKey
from models.integrity import IntegrityScan
from models.job import Job
from models.migration import Migration
from models.outside_link import OutsideLink
from models.preferences import Preferences
from models.profile import Profile
from models.project import Project
from models.repository_connection import RepositoryConnection
from models.spending_profile import SpendingProfile
from models.transaction import Transaction
from models.user import User
from models.webhook_event import WebhookEvent

DOCUMENTS: Final[tuple[type[Stored], ...]] = (
    User,
    Profile,
    Preferences,
    Activity,
    AppData,
    Analytics,
    ApiKey,
    App,
    Deletion,
    Guard,
    Job,
    IdempotencyKey,
    IntegrityScan,
    Migration,
    Account,
    Card,
    SpendingProfile,
    CardQueue,
    CardEvent,
    Connection,
    BankAccount,
    Transaction,
    Project,
    RepositoryConnection,
    WebhookEvent,
    OutsideLink,
)
"""Every collection of a Satchel. A new document class is one more line here."""

__all__ = [
    "DOCUMENTS",
    "Account",
    "Activity",
    "Analytics",
    "ApiKey",
    "App",
    "AppData",
    "BankAccount",
    "Card",
    "CardEvent",
    "CardQueue",
    "Connection",
    "Deletion",
    "Guard",
    "IdempotencyKey",
    "IntegrityScan",
    "Job",
    "Migration",
    "OutsideLink",
    "Preferences",
    "Profile",
    "Project",
    "RepositoryConnection",
    "SpendingProfile",
    "Stored",
    "Transaction",
    "User",
    "WebhookEvent",
]
