"""What docs/deployment.md has an operator make before the first start of production."""

import base64
import json
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def production(folder: Path) -> dict[str, str]:
    """The settings of a production whose secrets are made in a folder, without the prefix."""
    files = {
        "token_key_file": _token_key(),
        "secret_key_file": secrets.token_urlsafe(48),
        "webhook_key_file": secrets.token_urlsafe(48),
        "keyring_file": json.dumps(
            {"current": "1", "keys": {"1": base64.b64encode(os.urandom(32)).decode()}}
        ),
    }
    settings = {name: str(folder / name) for name in files}
    for name, content in files.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o400)
    return settings | {
        "environment": "production",
        "sender_url": "https://127.0.0.1:9/codes",
        "sender_secret": secrets.token_hex(24),
        "ledger": str(folder / "ledger"),
    }


def _token_key() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
