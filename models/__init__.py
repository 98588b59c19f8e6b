"""What is stored: every document class, in `DOCUMENTS`."""

from typing import Final

from models.account import Account
from models.activity import Activity
from models.analytics import Analytics
from models.api_key import ApiKey
from models.app import App
from models.app_data import AppData
from models.audit_event import AuditEvent
from models.auth_identity import AuthIdentity
from models.base import Stored
from models.budget import Budget
from models.card import Card
from models.card_event import CardEvent
from models.card_queue import CardQueue
from models.deletion import Deletion
from models.guard import Guard
from models.idempotency import IdempotencyKey
from models.integrity import IntegrityScan
from models.job import Job
from models.migration import Migration
from models.phone_otp import PhoneOtp
from models.preferences import Preferences
from models.profile import Profile
from models.refresh_token import RefreshToken
from models.spending_profile import SpendingProfile
from models.user import User

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
    AuthIdentity,
    RefreshToken,
    PhoneOtp,
    Budget,
    AuditEvent,
    IntegrityScan,
    Migration,
    Account,
    Card,
    SpendingProfile,
    CardQueue,
    CardEvent,
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
    "AuditEvent",
    "AuthIdentity",
    "Budget",
    "Card",
    "CardEvent",
    "CardQueue",
    "Deletion",
    "Guard",
    "IdempotencyKey",
    "IntegrityScan",
    "Job",
    "Migration",
    "PhoneOtp",
    "Preferences",
    "Profile",
    "RefreshToken",
    "SpendingProfile",
    "Stored",
    "User",
]
