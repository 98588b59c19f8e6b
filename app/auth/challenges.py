"""How challenges are sent."""

from app.auth.codes.otp import Sent
from app.auth.context import SignIn
from app.auth.schemas import Challenge


def challenge_view(parts: SignIn, sent: Sent) -> Challenge:
    """A challenge as sent, whoever the recipient is."""
    settings = parts.settings
    return Challenge(
        challenge_id=sent.challenge_id,
        expires_in=settings.otp_lifetime_seconds,
        resend_in=settings.otp_resend_seconds,
        digits=sent.digits,
        message_sent=sent.message_sent,
    )
