"""Sealed values: secrets as they are stored, encrypted, in a type that only `app.outside.keyring`
looks into."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Self

from bson import ObjectId
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from models.base import Raw, Session, Stored, stored_name
from models.ring_key import RingKey
from models.values import escape_row


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed value belongs; it opens nowhere else.

    Attributes:
        collection: of the document.
        field: as stored.
        document_id: of the document.
        owner_id: whose document it is: a user, a project.
    """

    collection: str
    field: str
    document_id: ObjectId
    owner_id: ObjectId

    def __str__(self) -> str:
        return f"{self.collection}.{self.field} of {self.document_id}"


class Sealed:
    """A secret, encrypted: format version `v`, key id `k`, nonce `n`, ciphertext `c`.

    It cannot be serialised, compared, hashed or pickled, and shows nothing of itself. `stored()` is
    for the database, `app.outside.keyring.KeyRing.open` for whoever needs the secret. What stands
    in the database is taken as it is: a value that was damaged does not keep its document from
        being read, it only does not open.
    """

    __slots__ = ("_row",)

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = dict(row)

    @property
    def key_id(self) -> str:
        """The id of the key that it was sealed with."""
        return str(self._row.get("k", ""))

    def stored(self) -> Raw:
        """As it stands in the database."""
        return dict(self._row)

    def __repr__(self) -> str:
        return "<sealed>"

    __str__ = __repr__

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("sealed values are not compared")

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a sealed value is not serialised")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Taken from the database or as it is; never dumped."""
        refused = core_schema.plain_serializer_function_ser_schema(_refuse)
        return core_schema.no_info_plain_validator_function(cls._take, serialization=refused)

    @classmethod
    def _take(cls, value: object) -> "Sealed":
        if isinstance(value, Sealed):
            return value
        return cls(value if isinstance(value, Mapping) else {})


def _refuse(_: Sealed) -> NoReturn:
    raise TypeError("a sealed value is not serialised")


class HoldsSecrets:
    """What a document with sealed fields has besides. It stores them in a transaction, under keys
    that are not retired.

    Attributes:
        SEALED: the attributes that hold sealed values.
        OWNER: the attribute that names whose document it is.
    """

    SEALED: ClassVar[tuple[str, ...]] = ()
    OWNER: ClassVar[str] = "user_id"

    def stored(self) -> Raw:
        """The document as it is stored, its sealed values among it."""
        document: Any = self
        row = document.model_dump(by_alias=True, exclude={"revision_id", *self.SEALED})
        kept = escape_row({name: value for name, value in row.items() if value is not None})
        sealed = {name: getattr(self, name) for name in self.SEALED}
        return kept | {
            stored_name(name): value.stored() for name, value in sealed.items() if value is not None
        }

    async def add(self, session: Session = None) -> Self:
        """`Stored.add`.

        Raises:
            RetiredKey: a key that sealed a value of it is retired.
        """
        document: Any = self
        await RingKey.use(self._key_ids(document.stored()), session)
        parent: Any = super()
        added: Self = await parent.add(session)
        return added

    @classmethod
    async def change(
        cls,
        where: Mapping[str, Any],
        fields: Mapping[str, Any],
        *,
        expected: int | None = None,
        session: Session = None,
    ) -> Self | None:
        """`Stored.change`.

        Raises:
            RetiredKey: a key that sealed a new value is retired.
        """
        if keys := cls._key_ids(fields):
            await RingKey.use(keys, session)
        parent: Any = super()
        changed: Self | None = await parent.change(
            where, fields, expected=expected, session=session
        )
        return changed

    @classmethod
    def _key_ids(cls, fields: Mapping[str, Any]) -> set[str]:
        """The ids of the keys that have sealed what is among these stored fields."""
        values = [fields.get(stored_name(field)) for field in cls.SEALED]
        return {Sealed(value).key_id for value in values if value is not None}

    @classmethod
    def place_in(cls, row: Mapping[str, Any], field: str) -> Place:
        """Where the sealed value of an attribute belongs, by the stored document."""
        document: Any = cls
        collection: type[Stored] = document
        return Place(
            collection.collection_name(),
            stored_name(field),
            row["_id"],
            row[stored_name(cls.OWNER)],
        )
