"""Entity tags: `"<version>.<tag>"`, the tag naming the document, its representation and the
deployment's epoch.

An answer that is packed says so behind them, `"<version>.<tag>.zstd"`: a precondition takes either.
"""

from base64 import urlsafe_b64encode
from collections.abc import Hashable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from models.deployment import Deployment

CODINGS: Final = ("zstd", "gzip")
"""How answers are packed, the best first."""
EPOCH_DAMAGED: Final = (
    "the row `deployment` of `deployments` is damaged: `python -m scripts restored` makes it good,"
    " with a new epoch"
)
_BYTES: Final = 9
_epoch: Final = {"name": b""}


async def load_epoch() -> None:
    """Take over the epoch of the database that the documents are bound to; made where it has none.

    A restore begins another one, and whoever is asked whether it is ready takes it over.

    Raises:
        Unreadable: the row that says it was damaged (`EPOCH_DAMAGED`).
    """
    name = (await Deployment.epoch()).encode()
    if name != _epoch["name"]:
        _epoch["name"] = name
        tag_of.cache_clear()


def sealed(content: bytes, size: int) -> bytes:
    """A digest of some bytes that this epoch of the deployment alone gives."""
    return blake2b(content, digest_size=size, key=_epoch["name"]).digest()


def list_etag(version: int, content: bytes) -> str:
    """The entity tag of a page of a list.

    Args:
        version: the largest on the page, which a reader may recognise.
        content: what tells the page from every other, and from itself when anything on it has
            changed.
    """
    return f'"{version}.{urlsafe_b64encode(sealed(content, _BYTES)).decode()}"'


@lru_cache(maxsize=16384)
def tag_of(key: Hashable, kind: str = "") -> str:
    """The tag of a document, without its version.

    Args:
        key: its `_id`.
        kind: of the representation, where callers see different ones.
    """
    digest = blake2b(f"{key}\n{kind}".encode(), digest_size=_BYTES, key=_epoch["name"])
    return urlsafe_b64encode(digest.digest()).decode()


def etag(version: int, key: Hashable, kind: str = "") -> str:
    """The entity tag of a version of a document: `"3.k2Jd0aQx9vLm"`."""
    return f'"{version}.{tag_of(key, kind)}"'


def coded(tag: str, coding: str) -> str:
    """The entity tag of an answer that is packed: `"3.k2Jd0aQx9vLm.zstd"`. What is weak, and names
    no bytes, stays."""
    return tag if tag.startswith("W/") else f'{tag[:-1]}.{coding}"'


def plain(tag: str) -> str:
    """The entity tag of an answer as it was before it was packed."""
    for coding in CODINGS:
        if tag.endswith(f'.{coding}"'):
            return f'{tag.removesuffix(f".{coding}{chr(34)}")}"'
    return tag
