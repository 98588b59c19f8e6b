"""Bodies of sign-in: what is asked, and what is answered."""

from typing import Annotated, Any, Literal

from beanie import PydanticObjectId
from pydantic import ConfigDict, Field, model_validator

from app.errors import Invalid
from app.shown.documents import View
from models.app import AppId
from models.audit_event import AuditKind
from models.base import Fields, Timestamp
from models.refresh_token import DeviceInfo
from models.user import Role

PhoneNumber = Annotated[
    str,
    Field(
        min_length=3,
        max_length=50,
        description="In international form; spaces and dashes are fine.",
    ),
]
Address = Annotated[str, Field(min_length=3, max_length=1024, description="In any spelling.")]
ChallengeId = Annotated[str, Field(min_length=1, max_length=64)]
OneTimeCode = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{6,16}$", description="The digits that were sent: six, more where many try."
    ),
]
DeviceTokenText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        description="Of a sign-in before on this device; another one is ignored.",
    ),
]
IdToken = Annotated[str, Field(min_length=1, max_length=16_384, description="From the provider.")]
Nonce = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        description="What was sent to the provider, or what was hashed for it.",
    ),
]
RefreshTokenText = Annotated[str, Field(min_length=1, max_length=256)]


class CodeRequest(Fields):
    """Where a code is to be sent: one of both."""

    phone_number: PhoneNumber | None = None
    email: Address | None = None
    device_token: Annotated[DeviceTokenText | None, Field(repr=False)] = None

    @model_validator(mode="after")
    def _is_one(self) -> "CodeRequest":
        if (self.phone_number is None) == (self.email is None):
            raise ValueError("send phoneNumber or email, one of both")
        return self


class PhoneRequest(Fields):
    """The phone that a code is to be sent to."""

    phone_number: PhoneNumber


class EmailRequest(Fields):
    """The mailbox that a code is to be sent to."""

    email: Address


class Challenge(Fields):
    """A code is under way; the challenge is what it is given back with. Whoever has its id has its
    tries."""

    challenge_id: str
    expires_in: Annotated[int, Field(description="Seconds until the code is over.")]
    resend_in: Annotated[int, Field(description="Seconds until another code may be asked for.")]
    digits: Annotated[int, Field(description="How many digits the code has.")]
    message_sent: Annotated[
        bool,
        Field(
            description=(
                "False: the recipient had many messages; the newest one with so many digits has the"
                " code."
            )
        ),
    ]


class ChallengeAnswer(Fields):
    """A code, given back."""

    challenge_id: ChallengeId
    code: Annotated[OneTimeCode, Field(repr=False)]


class OnDevice(Fields):
    """What is said of the device that a session begins on."""

    device_info: Annotated[
        DeviceInfo | None, Field(description="A label for the list of sessions.")
    ] = None
    app_id: Annotated[
        AppId | None, Field(description="The only app whose data the session reaches.")
    ] = None


class WithGuest(OnDevice):
    """What is said of who was a guest on the device before."""

    guest_token: Annotated[
        RefreshTokenText | None,
        Field(repr=False, description="The guest's refresh token: what they have comes along."),
    ] = None


class VerifyRequest(ChallengeAnswer, WithGuest):
    """A code, and the device that it signs in."""


class OidcRequest(WithGuest):
    """An ID token, and the device that it signs in."""

    id_token: Annotated[IdToken, Field(repr=False)]
    nonce: Nonce | None = None


class RefreshRequest(Fields):
    """A refresh token, to be used once."""

    refresh_token: Annotated[RefreshTokenText, Field(repr=False)]


class LogoutRequest(Fields):
    """The session to end, by its refresh token; without one, the session of the access token."""

    refresh_token: Annotated[RefreshTokenText | None, Field(repr=False)] = None


class GuestOutcome(Fields):
    """What became of the guest who signed in.

    `became`: they are this person, under their id. `merged`: what they had is this person's.
    `kept`: both have something (`conflicts`), so the guest is there as before:
    `POST /v1/users/me/guests` decides. `gone`: the token is no guest's, or was taken before.
    """

    state: Literal["became", "merged", "kept", "gone"]
    conflicts: list[dict[str, Any]] = Field(default_factory=list)


class TokenPair(Fields):
    """Tokens, shown this once."""

    access_token: Annotated[str, Field(repr=False)]
    refresh_token: Annotated[str, Field(repr=False)]
    device_token: Annotated[
        str,
        Field(
            repr=False,
            description="Keep it beyond the session, and send it when asking for a code again.",
        ),
    ]
    token_type: str = "Bearer"  # noqa: S105
    expires_in: Annotated[int, Field(description="Seconds that the access token lives.")]
    session_id: str
    user_id: str
    created: Annotated[bool, Field(description="Whether the user was made by this sign-in.")] = (
        False
    )
    guest: Annotated[
        GuestOutcome | None,
        Field(exclude_if=lambda guest: guest is None, description="With `guestToken`."),
    ] = None


class LinkRequest(Fields):
    """A further way of signing in: a phone by its code, any other provider by its ID token."""

    provider: Annotated[
        str, Field(pattern=r"^[a-z0-9_-]{1,32}$", description="`phone`, `google`, `facebook`, …")
    ]
    challenge_id: ChallengeId | None = None
    code: Annotated[OneTimeCode | None, Field(repr=False)] = None
    id_token: Annotated[IdToken | None, Field(repr=False)] = None
    nonce: Nonce | None = None

    def answer(self) -> ChallengeAnswer:
        """The code; raises Invalid where it is missing."""
        if self.challenge_id is None or self.code is None:
            missing = "challengeId" if self.challenge_id is None else "code"
            raise Invalid.field(
                f"/{missing}", "missing", "a phone is linked by challengeId and code"
            )
        return ChallengeAnswer(challenge_id=self.challenge_id, code=self.code)

    def token(self) -> str:
        """The ID token; raises Invalid where it is missing."""
        if self.id_token is None:
            raise Invalid.field("/idToken", "missing", "this provider is linked by an idToken")
        return self.id_token


class RoleRequest(Fields):
    """The role that a person chooses."""

    role: Role


class IdentityView(View):
    """One way of signing in."""

    provider: str
    provider_id: Annotated[
        str, Field(description="Phone number, email address, or the provider's id of the person.")
    ]
    email: str | None = None


class SessionView(Fields):
    """A session on one device."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, extra="ignore")

    id: PydanticObjectId
    device_info: str | None = None
    app_id: AppId | None = None
    auth_method: Annotated[str, Field(description="The provider by which it began.")]
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Annotated[
        Timestamp, Field(description="Moves on with each refresh, up to the longest life.")
    ]
    current: Annotated[
        bool, Field(description="Whether the caller's access token belongs to it.")
    ] = False


class AuditView(Fields):
    """One thing that was done."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, extra="ignore")

    id: PydanticObjectId
    kind: AuditKind
    at: Timestamp
    by: str
    user_id: PydanticObjectId | None = None
    detail: dict[str, Any]


class RotateRequest(Fields):
    """How long the secret before is honoured."""

    overlap_hours: Annotated[
        int | None, Field(ge=0, le=720, description="`SATCHEL_KEY_OVERLAP_HOURS` if absent.")
    ] = None
