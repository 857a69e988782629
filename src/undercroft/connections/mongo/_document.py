"""One type of documents: to what is stored, and back; ids, updates. Imports bson."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast
from uuid import UUID, uuid4

from bson import ObjectId

from undercroft._core.errors import near_names
from undercroft._core.ids import IdSource
from undercroft._core.models import model_problems
from undercroft.connections.mongo._bson import as_bson, as_read
from undercroft.connections.mongo._errors import DamagedDocumentError, InvalidDocumentError, MongoUsageError
from undercroft.connections.mongo._shape import MISFITS, id_types_of, shape_of

T = TypeVar("T")
DocumentId = ObjectId | str | UUID
_PLACE = re.compile(r"at `\$\.?([^`]*)`")
_MISSING = re.compile(r"required field `([^`]*)`")
_LOGIC = ("$and", "$or", "$nor")


class DocumentType(Generic[T]):
    """How values of one type are stored in one collection. Immutable; does no I/O.

    Raises:
        CollectionDefinitionError: The type cannot be used.
    """

    def __init__(self, type_: type[T], *, collection: str, ids: IdSource) -> None:
        self._type = type_
        self._collection = collection
        self._ids = ids
        self._shape = shape_of(type_, collection=collection)
        self._id_types = id_types_of(self._shape, collection=collection)

    def encode(self, value: T) -> tuple[dict[str, Any], T]:
        """Return a new document as it is to be stored, with an id, and as it will be read.

        Raises:
            InvalidDocumentError: It does not fit its own type, or holds what BSON cannot.
        """
        return self._encode(value, needs_id=False)

    def encode_existing(self, value: T) -> tuple[dict[str, Any], T]:
        """Return a document that is stored already.

        Raises:
            InvalidDocumentError: As `encode`.
            MongoUsageError: It has no id.
        """
        return self._encode(value, needs_id=True)

    def decode(self, stored: Mapping[str, Any]) -> T:
        """Return a stored document as the type; keys that the type does not have are passed over, if it allows that.

        Raises:
            DamagedDocumentError: It does not fit.
        """
        try:
            return self._load(stored)
        except MISFITS as exc:
            problem, field = _problem(exc)
            raise DamagedDocumentError(
                problem, collection=self._collection, document_id=stored.get("_id"), field=field
            ) from _cause(exc)

    def as_id(self, value: object) -> Any:
        """Return an id as it is stored; the text of an ObjectId or a UUID will do.

        Raises:
            InvalidDocumentError: It cannot be an id of this collection.
        """
        if isinstance(value, tuple(self._id_types)):
            return value
        for kind in self._id_types:
            if issubclass(kind, ObjectId) and (isinstance(value, ObjectId) or _is_object_id_text(value)):
                return ObjectId(cast("str", value))
            if issubclass(kind, UUID) and isinstance(value, str) and (uuid := _uuid_of(value)) is not None:
                return uuid
        expected = " or ".join(kind.__name__ for kind in self._id_types)
        raise InvalidDocumentError(f"{value!r} is not an id of {self._collection!r}: expected {expected}", field="id")

    def as_filter(self, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return a filter as the driver takes it: `id` is `_id`, also below `$and`, `$or`, `$nor`.

        Raises:
            InvalidDocumentError: A value has no BSON form.
        """
        return {
            "_id" if key == "id" else key: [self.as_filter(part) for part in value]
            if key in _LOGIC and isinstance(value, Sequence)
            else as_bson(value, f"$.{key}")
            for key, value in (given or {}).items()
        }

    def as_update(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return changes as update operators; plain fields are checked against the type, and become `$set`.

        Raises:
            InvalidDocumentError: A field that the type does not have, or a value that does not fit it.
            MongoUsageError: No changes, operators mixed with fields, or the id is to change.
        """
        operators = [key for key in changes if key.startswith("$")]
        if not changes or (operators and len(operators) < len(changes)):
            raise MongoUsageError(
                "an update needs changes: fields, or operators, and not both",
                hint='{"is_read": True} or {"$set": {…}, "$inc": {…}}',
            )
        fields = [changes] if not operators else [part for part in changes.values() if isinstance(part, Mapping)]
        if any(key in ("id", "_id") for part in fields for key in part):
            raise MongoUsageError("an id cannot be changed", hint="insert the document anew, and delete the old one")
        if operators:
            return {key: as_bson(value, f"$.{key}") for key, value in changes.items()}
        return {"$set": {key: self._as_field(key, value) for key, value in changes.items()}}

    def _encode(self, value: T, *, needs_id: bool) -> tuple[dict[str, Any], T]:
        fields = self._fields_of(value)
        id_ = fields.pop(self._shape.id_key, None)
        if id_ is None and needs_id:
            raise MongoUsageError("the document has no id, so it is not known which one to replace")
        stored = {"_id": self._new_id() if id_ is None else id_, **fields}
        try:
            return stored, self._load(as_read(stored))
        except MISFITS as exc:
            problem, field = _problem(exc)
            raise InvalidDocumentError(f"{self._type.__name__}: {problem}", field=field) from _cause(exc)

    def _fields_of(self, value: T) -> dict[str, Any]:
        is_other = not isinstance(value, Mapping if issubclass(self._type, dict) else self._type)
        if is_other:
            raise InvalidDocumentError(f"expected {self._type.__name__}, got {type(value).__name__}")
        try:
            fields: dict[str, Any] = as_bson(value)
        except RecursionError as exc:
            raise InvalidDocumentError(f"{self._type.__name__}: nested too deeply") from exc
        if self._shape.refuses_unknown_keys:
            self._require_known(*fields)
        return fields

    def _as_field(self, key: str, value: Any) -> Any:
        stored = as_bson(value, f"$.{key}")
        if "." in key:  # inside of a field, where its type is not known here
            return stored
        if self._shape.refuses_unknown_keys:
            self._require_known(key)
        try:
            return as_bson(self._shape.check(key, as_read(stored)), f"$.{key}") if key in self._shape.keys else stored
        except InvalidDocumentError:
            raise
        except MISFITS as exc:
            raise InvalidDocumentError(f"{self._type.__name__}.{key}: {_problem(exc)[0]}", field=key) from _cause(exc)

    def _require_known(self, *keys: str) -> None:
        for key in keys:
            if key not in self._shape.keys and not self._is_tag(key):
                raise InvalidDocumentError(
                    f"{self._type.__name__} has no field {key!r}",
                    field=key,
                    near=tuple(near_names(key, self._shape.keys)),
                    hint=f"its fields: {', '.join(self._shape.keys)}",
                )

    def _is_tag(self, key: str) -> bool:
        config = getattr(self._type, "__struct_config__", None)
        return config is not None and key == config.tag_field

    def _load(self, stored: Mapping[str, Any]) -> T:
        document = {self._shape.id_key if key == "_id" else key: value for key, value in stored.items()}
        return cast("T", self._shape.load(document))

    def _new_id(self) -> DocumentId:
        kind = self._id_types[0]
        if issubclass(kind, ObjectId):
            return ObjectId()
        return uuid4() if issubclass(kind, UUID) else self._ids()


def _problem(exc: Exception) -> tuple[str, str | None]:
    """Return what does not fit, in one line, and the field it is about."""
    problem = model_problems(exc) or str(exc)
    place, missing = _PLACE.search(problem), _MISSING.search(problem)
    steps = [found[1] for found in (place, missing) if found and found[1]]
    return problem, ".".join(steps) or None


def _cause(exc: Exception) -> Exception | None:
    # A traceback shows the cause's text, and pydantic's quotes the input.
    return None if model_problems(exc) else exc


def _is_object_id_text(value: object) -> bool:
    return isinstance(value, str) and ObjectId.is_valid(value)


def _uuid_of(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
