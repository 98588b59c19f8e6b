"""How challenges are sent."""

from app.auth.context import SignIn
from app.auth.schemas import Challenge


def challenge_view(parts: SignIn, challenge_id: str) -> Challenge:
    """A challenge as sent, whoever the recipient is."""
    settings = parts.settings
    return Challenge(
        challenge_id=challenge_id, expires_in=settings.otp_lifetime_seconds, resend_in=settings.otp_resend_seconds
    )
