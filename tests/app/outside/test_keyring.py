"""The key ring: what is sealed opens in its place alone, with any key that is still in the ring."""

import copy
import json
import pickle
import stat
from pathlib import Path
from typing import Any

import orjson
import pytest
from bson import ObjectId
from pydantic import SecretStr, ValidationError
from pydantic_core import PydanticSerializationError

from app.outside.key_files import Watched
from app.outside.keyring import (
    KeyRing,
    KeyRingError,
    SealedError,
    UnknownKey,
    load_keyring,
    new_keys,
    parse_keys,
    read_keys,
)
from app.repositories.hosts.registry import HOSTS, api_setting
from app.settings import Settings
from app.settings.private_files import replace
from models.base import now
from models.connection import Connection
from models.sealed import Place, Sealed
from tests.production import PRODUCTION

SECRET = SecretStr("test_token_planted")
PLACE = Place("connections", "accessToken", ObjectId(), ObjectId())


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing(new_keys())


def changed(sealed: Sealed, **parts: Any) -> Sealed:
    return Sealed({**sealed.stored(), **parts})


def test_a_sealed_secret_opens_in_its_place(ring: KeyRing) -> None:
    sealed = ring.seal(SECRET, PLACE)
    assert ring.open(sealed, PLACE).get_secret_value() == "test_token_planted"
    assert set(sealed.stored()) == {"v", "k", "n", "c"}
    assert (sealed.stored()["v"], sealed.key_id) == (1, ring.current)
    assert b"planted" not in sealed.stored()["c"]


@pytest.mark.parametrize(
    "other",
    [
        Place("repositoryconnections", PLACE.field, PLACE.document_id, PLACE.owner_id),
        Place(PLACE.collection, "webhookSecret", PLACE.document_id, PLACE.owner_id),
        Place(PLACE.collection, PLACE.field, ObjectId(), PLACE.owner_id),
        Place(PLACE.collection, PLACE.field, PLACE.document_id, ObjectId()),
    ],
    ids=["collection", "field", "document", "owner"],
)
def test_it_opens_nowhere_else(ring: KeyRing, other: Place) -> None:
    with pytest.raises(SealedError, match="belongs to another document"):
        ring.open(ring.seal(SECRET, PLACE), other)


def test_equal_secrets_are_sealed_differently(ring: KeyRing) -> None:
    one, other = ring.seal(SECRET, PLACE).stored(), ring.seal(SECRET, PLACE).stored()
    assert one["n"] != other["n"]
    assert one["c"] != other["c"]


def test_every_truncation_and_every_changed_byte_is_a_clear_error(ring: KeyRing) -> None:
    sealed = ring.seal(SECRET, PLACE)
    row = sealed.stored()
    broken = [changed(sealed, c=row["c"][:length]) for length in range(len(row["c"]))]
    broken += [changed(sealed, n=row["n"][:length]) for length in range(len(row["n"]))]
    for place in range(len(row["c"])):
        flipped = bytearray(row["c"])
        flipped[place] ^= 1
        broken.append(changed(sealed, c=bytes(flipped)))
    broken += [changed(sealed, v=2), changed(sealed, c=None), changed(sealed, n="x"), Sealed({})]
    for each in broken:
        with pytest.raises(
            SealedError, match=r"connections\.accessToken of .*(truncated|damaged)"
        ) as caught:
            ring.open(each, PLACE)
        assert "planted" not in str(caught.value)


def test_a_key_that_is_not_in_the_ring_is_named(ring: KeyRing) -> None:
    sealed = ring.seal(SECRET, PLACE)
    with pytest.raises(UnknownKey, match=ring.current):
        KeyRing(new_keys()).open(sealed, PLACE)


def test_a_key_id_cannot_be_exchanged(ring: KeyRing) -> None:
    keys = parse_keys(new_keys().dump(), "test").with_new()
    two = KeyRing(keys)
    other = next(key_id for key_id in keys.by_id if key_id != keys.current)
    with pytest.raises(SealedError):
        two.open(changed(two.seal(SECRET, PLACE), k=other), PLACE)


def test_a_sealed_value_shows_and_gives_nothing(ring: KeyRing) -> None:
    sealed = ring.seal(SECRET, PLACE)
    connection = Connection.model_construct(
        id=PLACE.document_id,
        user_id=PLACE.owner_id,
        provider="teller",
        institution="Bank",
        label="x",
        access_token=sealed,
        authenticated_at=now(),
        created_at=now(),
        updated_at=now(),
    )
    assert {repr(sealed), str(sealed), f"{sealed}"} == {"<sealed>"}
    assert sealed.stored()["c"].hex() not in repr(connection)
    refused: list[Any] = [
        lambda: sealed == ring.seal(SECRET, PLACE),
        lambda: sealed != sealed.stored(),
        lambda: hash(sealed),
        lambda: pickle.dumps(sealed),
        lambda: json.dumps(sealed),
        lambda: orjson.dumps(sealed),
        lambda: dict(sealed),
        lambda: vars(sealed),
        lambda: pickle.dumps(ring),
    ]
    for attempt in refused:
        with pytest.raises(TypeError):
            attempt()
    for dump in (connection.model_dump, connection.model_dump_json):
        with pytest.raises((TypeError, PydanticSerializationError)) as caught:
            dump()
        assert sealed.stored()["c"].hex() not in str(caught.value)
    assert copy.deepcopy(sealed) is sealed
    assert "key" in repr(ring)
    assert ring.current not in repr(ring)


@pytest.mark.usefixtures("database")
async def test_a_document_is_stored_with_its_sealed_value_and_read_back(ring: KeyRing) -> None:
    row = {"_id": PLACE.document_id, "userId": PLACE.owner_id}
    assert Connection.place_in(row, "access_token") == PLACE
    sealed = ring.seal(SECRET, PLACE)
    document = Connection.from_stored(
        {
            **row,
            "provider": "teller",
            "institution": "B",
            "label": "l",
            "accessToken": sealed.stored(),
        }
    )
    assert document.access_token is not None
    assert ring.open(document.access_token, PLACE).get_secret_value() == SECRET.get_secret_value()
    assert document.stored()["accessToken"] == sealed.stored()


def test_a_ring_in_a_file_is_read_again_when_a_key_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    replace(path, new_keys().dump().encode())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    reader, writer = KeyRing(Watched(path, read_keys)), KeyRing(Watched(path, read_keys))
    replace(path, read_keys(path).with_new().dump().encode())
    writer.reload()
    sealed = writer.seal(SECRET, PLACE)
    assert sealed.key_id != reader.current
    assert reader.open(sealed, PLACE).get_secret_value() == SECRET.get_secret_value()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"current": "a", "keys": {}}',
        '{"current": "a", "keys": {"a": "c2hvcnQ="}}',
        '{"keys": 7}',
    ],
)
def test_a_malformed_ring_says_so_and_repeats_nothing(text: str) -> None:
    with pytest.raises(KeyRingError) as caught:
        parse_keys(text, "SATCHEL_KEYRING")
    assert "c2hvcnQ" not in str(caught.value)


def settings(tmp_path: Path, **fields: Any) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path, mongodb_uri="mongodb://x", **fields)


def test_development_makes_a_ring_that_only_its_owner_reads(tmp_path: Path) -> None:
    made = load_keyring(settings(tmp_path))
    path = tmp_path / "keyring.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_keyring(settings(tmp_path)).current == made.current


def test_production_refuses_to_start_without_a_ring(tmp_path: Path) -> None:
    live = {**PRODUCTION, "public_url": "https://x.example"}
    with pytest.raises(ValidationError, match="SATCHEL_KEYRING_FILE or SATCHEL_KEYRING"):
        settings(tmp_path, **live)
    with pytest.raises(KeyRingError, match="cannot be read"):
        load_keyring(settings(tmp_path, **live, keyring_file=tmp_path / "none.json"))
    assert list(tmp_path.iterdir()) == []
    ring = load_keyring(settings(tmp_path, **live, keyring=new_keys().dump()))
    assert ring.key_ids() == [ring.current]


@pytest.mark.parametrize("name", ["teller_url", *(api_setting(service) for service in HOSTS)])
def test_production_speaks_to_the_outside_over_tls_alone(tmp_path: Path, name: str) -> None:
    live = {**PRODUCTION, "keyring": new_keys().dump()}
    with pytest.raises(ValidationError, match="https://"):
        settings(tmp_path, **live, **{name: "http://inside.example"})
