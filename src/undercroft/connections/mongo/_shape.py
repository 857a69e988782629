"""The types that documents can have: which keys they are stored under, and how they are checked. Imports bson.

Two shapes: what msgspec reads (dataclasses, Structs, TypedDicts), strictly, and pydantic models, by their own rules.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

import msgspec
from bson import ObjectId

from undercroft._core.models import is_model
from undercroft.connections.mongo._errors import CollectionDefinitionError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
MISFITS = (msgspec.MsgspecError, TypeError, ValueError, AttributeError, NotImplementedError, RecursionError)
"""What reading raises for a value that does not fit."""

_ID_TYPES = (ObjectId, str, UUID)
_FORMS = "a dataclass, msgspec.Struct, TypedDict or pydantic model"
_WRAPPERS = tuple(
    getattr(typing, name) for name in ("Required", "NotRequired", "ReadOnly", "Annotated") if hasattr(typing, name)
)


class Shape(Protocol[T_co]):
    """One type as stored documents have it."""

    @property
    def keys(self) -> Mapping[str, object]:
        """The keys of the fields, with their annotations."""

    @property
    def id_key(self) -> str:
        """The key of the field `id`: `id`, unless the type renames it."""

    @property
    def id_hint(self) -> object:
        """The annotation of the field `id`."""

    @property
    def refuses_unknown_keys(self) -> bool:
        """Whether keys that the type does not have are a mistake when a document is written."""

    def load(self, document: Mapping[str, Any]) -> T_co:
        """Return a document as the type. Raises one of `MISFITS`."""

    def check(self, key: str, value: Any) -> object:
        """Return a value for one field as the field's type. Raises one of `MISFITS`."""


def shape_of(type_: Any, *, collection: str) -> Shape[Any]:
    """Return the shape of `type_`.

    Raises:
        CollectionDefinitionError: It is none of the kinds that we take, or has no field `id`.
    """
    is_plain = _is_plain(type_)
    if not is_plain and not (inspect.isclass(type_) and is_model(type_)):
        raise CollectionDefinitionError(f"{collection!r}: {type_!r} is not {_FORMS}")
    name = type_.__name__
    try:
        shape: Shape[Any] = _PlainShape(type_) if is_plain else _ModelShape(type_)
        has_id = shape.id_key in shape.keys
    except (TypeError, NameError, KeyError) as exc:
        raise CollectionDefinitionError(f"{collection!r}: {name} cannot be used: {exc}") from exc
    if not has_id:
        raise CollectionDefinitionError(
            f"{collection!r}: {name} has no field `id`", hint="add `id: ObjectId | None = None`; it is stored as _id"
        )
    return shape


def id_types_of(shape: Shape[Any], *, collection: str) -> tuple[type[Any], ...]:
    """Return the types that an id may have, in the order of the annotation.

    Raises:
        CollectionDefinitionError: One is not ObjectId, str or UUID.
    """
    found = [leaf for leaf in _leaves(shape.id_hint) if leaf not in (type(None), msgspec.UnsetType)]
    wrong = [leaf for leaf in found if not isinstance(leaf, type) or not issubclass(leaf, _ID_TYPES)]
    if wrong or not found:
        raise CollectionDefinitionError(
            f"{collection!r}: an id cannot be {shape.id_hint!r}",
            hint="annotate it as ObjectId, str or UUID, or None too",
        )
    return tuple(found)


def _is_plain(type_: object) -> bool:
    if not inspect.isclass(type_):
        return False
    return dataclasses.is_dataclass(type_) or issubclass(type_, msgspec.Struct) or is_typeddict(type_)


class _PlainShape(Generic[T]):
    def __init__(self, type_: type[T]) -> None:
        msgspec.json.Decoder(type_, dec_hook=_load_custom)  # raises for what msgspec cannot read
        self._type = type_
        hints = get_type_hints(type_, include_extras=True)
        stored = _stored_names(type_)
        self.keys: Mapping[str, object] = {stored[name]: _unwrapped(hints[name]) for name in stored}
        self.id_key = stored.get("id", "id")
        self.id_hint = hints.get("id")
        self.refuses_unknown_keys = True

    def load(self, document: Mapping[str, Any]) -> T:
        return msgspec.convert(document, self._type, dec_hook=_load_custom, str_keys=True)

    def check(self, key: str, value: Any) -> object:
        hint: Any = self.keys[key]
        return msgspec.convert(value, hint, dec_hook=_load_custom, str_keys=True)


class _ModelShape(Generic[T]):
    def __init__(self, type_: Any) -> None:
        self._type = type_
        fields: Mapping[str, Any] = self._type.model_fields
        stored = {name: field.serialization_alias or field.alias or name for name, field in fields.items()}
        self._names = {key: name for name, key in stored.items()}
        self.keys: Mapping[str, object] = {stored[name]: field.annotation for name, field in fields.items()}
        self.id_key = stored.get("id", "id")
        self.id_hint = fields["id"].annotation if "id" in fields else None
        self.refuses_unknown_keys = self._type.model_config.get("extra") != "allow"

    def load(self, document: Mapping[str, Any]) -> T:
        return typing.cast("T", _load_model(self._type, document))

    def check(self, key: str, value: Any) -> object:
        name = self._names[key]
        try:
            checked = self._type.__pydantic_validator__.validate_assignment(
                self._type.model_construct(), name, value, strict=False
            )
        except (ValueError, AttributeError) as exc:
            if _is_about_other_fields(exc, name):  # of a validator of the whole model, which sees only this field
                return value
            raise
        return getattr(checked, name)


def _stored_names(type_: type[Any]) -> dict[str, str]:
    """Return the key of each field, by its name in Python."""
    if issubclass(type_, msgspec.Struct):
        if type_.__struct_config__.array_like:
            raise TypeError("it is array_like, and documents are not arrays")
        return dict(zip(type_.__struct_fields__, type_.__struct_encode_fields__, strict=True))
    if dataclasses.is_dataclass(type_):
        return {field.name: field.name for field in dataclasses.fields(type_)}
    return {name: name for name in get_type_hints(type_)}


def _load_custom(type_: type[Any], value: Any) -> object:
    """Read what msgspec does not know by itself: bson's own types, and pydantic models inside of others."""
    if is_model(type_):
        return _load_model(type_, value)
    if isinstance(value, type_):
        return value
    if issubclass(type_, ObjectId) and isinstance(value, ObjectId):
        return type_(value)
    raise TypeError(f"Expected `{type_.__name__}`, got `{type(value).__name__}`")


def _load_model(type_: Any, value: object) -> object:
    # Not strict, whatever the model says: BSON has no sets, enums or dates without a time, so they come as others.
    return type_.model_validate(value, strict=False)


def _is_about_other_fields(exc: Exception, name: str) -> bool:
    errors: Callable[[], list[dict[str, Any]]] | None = getattr(exc, "errors", None)
    if errors is None:
        return isinstance(exc, AttributeError)
    return all(error["loc"][:1] != (name,) for error in errors())


def _leaves(hint: object) -> list[Any]:
    """Return the classes of a union, without what wraps them."""
    hint = _unwrapped(hint, everything=True)
    if get_origin(hint) in (Union, types.UnionType):
        return [leaf for part in get_args(hint) for leaf in _leaves(part)]
    return [hint]


def _unwrapped(hint: object, *, everything: bool = False) -> object:
    while get_origin(hint) in _WRAPPERS and (everything or get_origin(hint) is not typing.Annotated):
        hint = get_args(hint)[0]
    if everything and hasattr(hint, "__supertype__"):  # a NewType
        return _unwrapped(hint.__supertype__, everything=True)
    return hint
