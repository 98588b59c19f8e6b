"""What a production deployment has to set besides what a test is about."""

from typing import Any

PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "token_key_file": "/token-key",
    "secret_key_file": "/secret-key",
    "webhook_key_file": "/webhook-key",
    "ledger": "/ledger",
    "sender_url": "https://sender.test",
    "sender_secret": "0123456789abcdef",
}
