"""What is stored: every document class, in `DOCUMENTS`."""

from typing import Final

from models.account import Account
from models.activity import Activity
from models.analytics import Analytics
from models.api_key import ApiKey
from models.app import App
from models.app_data import AppData
from models.app_usage import AppUsage
from models.audit_event import AuditEvent
from models.auth_identity import AuthIdentity
from models.bank_account import BankAccount
from models.base import Stored
from models.budget import Budget
from models.card import Card
from models.card_event import CardEvent
from models.card_queue import CardQueue
from models.connection import Connection
from models.day import CountDay, PeopleDay, PropertyDay, PropertyValue, SessionDay
from models.deletion import Deletion
from models.deployment import Deployment
from models.erasure import ErasedMessage, Erasure
from models.external_id import ExternalId
from models.guard import Guard
from models.idempotency import IdempotencyKey
from models.integrity import IntegrityScan
from models.invitation import Invitation
from models.job import Job
from models.key_usage import KeyUsage
from models.ledger_note import LedgerNote
from models.migration import Migration
from models.outside_link import OutsideLink
from models.person import IdentityJoin, Person, PersonMerge
from models.phone_otp import PhoneOtp
from models.preferences import Preferences
from models.profile import Profile
from models.project import Project
from models.quarantine import QuarantinedEvent
from models.refresh_token import RefreshToken
from models.repository_connection import RepositoryConnection
from models.ring_key import RingKey
from models.rollup_state import RollupState
from models.seal import ArchivedDay, Seal
from models.session import VisitSession
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
    AppUsage,
    Deletion,
    Guard,
    Job,
    IdempotencyKey,
    CountDay,
    PeopleDay,
    PropertyDay,
    PropertyValue,
    SessionDay,
    VisitSession,
    RollupState,
    Person,
    PersonMerge,
    IdentityJoin,
    ExternalId,
    QuarantinedEvent,
    KeyUsage,
    Seal,
    ArchivedDay,
    ErasedMessage,
    Erasure,
    AuthIdentity,
    RefreshToken,
    PhoneOtp,
    Budget,
    AuditEvent,
    IntegrityScan,
    Deployment,
    LedgerNote,
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
    Invitation,
    RepositoryConnection,
    WebhookEvent,
    OutsideLink,
    RingKey,
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
    "AppUsage",
    "ArchivedDay",
    "AuditEvent",
    "AuthIdentity",
    "BankAccount",
    "Budget",
    "Card",
    "CardEvent",
    "CardQueue",
    "Connection",
    "CountDay",
    "Deletion",
    "Deployment",
    "ErasedMessage",
    "Erasure",
    "ExternalId",
    "Guard",
    "IdempotencyKey",
    "IdentityJoin",
    "IntegrityScan",
    "Invitation",
    "Job",
    "KeyUsage",
    "LedgerNote",
    "Migration",
    "OutsideLink",
    "PeopleDay",
    "Person",
    "PersonMerge",
    "PhoneOtp",
    "Preferences",
    "Profile",
    "Project",
    "PropertyDay",
    "PropertyValue",
    "QuarantinedEvent",
    "RefreshToken",
    "RepositoryConnection",
    "RingKey",
    "RollupState",
    "Seal",
    "SessionDay",
    "SpendingProfile",
    "Stored",
    "Transaction",
    "User",
    "VisitSession",
    "WebhookEvent",
]
