"""Buckets of the S3 service of tests, which the fixture `s3` starts."""

from typing import Any

import httpx2
from bson import ObjectId
from pydantic import SecretStr

SECRET = "s3-secret-that-nobody-sees"


def new_bucket(endpoint: str) -> str:
    """The name of a bucket of one's own."""
    name = f"archive-{ObjectId()}"
    assert httpx2.put(f"{endpoint}/{name}").status_code == 200
    return name


def bucket(endpoint: str, name: str) -> dict[str, Any]:
    """Settings of an archive there."""
    return {
        "analytics_archive": f"s3://{name}/raw",
        "analytics_archive_endpoint": endpoint,
        "analytics_archive_region": "eu-central-1",
        "analytics_archive_access_key_id": "key",
        "analytics_archive_secret_access_key": SecretStr(SECRET),
    }
