"""What becomes of sign-in's leavings (required: `runCleanupTasks`): TTL removes them too, when it
comes by."""

from models.api_key import ApiKey
from models.base import now
from models.phone_otp import PhoneOtp
from models.refresh_token import RefreshToken


async def clean_up() -> dict[str, int]:
    """Remove expired codes and sessions, and the hashes of rotated API keys, which no TTL can.

    All of these are refused from the moment at which they expire, whether this has run or not.

    Returns:
        How many there were of each.
    """
    moment = now()
    return {
        "codes": await PhoneOtp.remove_expired(moment),
        "sessions": await RefreshToken.remove_expired(moment),
        "keySecrets": await ApiKey.forget_previous(moment),
    }
