"""Python values as BSON has them, both ways. Imports bson, which is part of pymongo.

| Python | BSON | |
|---|---|---|
| `datetime`, aware | date | in UTC, cut to milliseconds; one without a time zone is refused |
| `date`, `time`, `timedelta` | string | ISO 8601 |
| `Decimal` | decimal128 | up to 34 digits |
| `UUID` | binary, subtype 4 | |
| `bytes` | binary | |
| enum members | their value | |
| `list`, `tuple`, `set`, `frozenset` | array | |
| mappings, dataclasses, Structs, pydantic models | document | keys that are not text are written as text |
| what bson itself defines: `ObjectId`, `Regex`, … | as it is | |
"""

from __future__ import annotations

import dataclasses
import decimal
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
    UuidRepresentation,
)
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry

from undercroft._core.models import is_model
from undercroft.connections.mongo._errors import InvalidDocumentError

_NATIVE = (Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, re.Pattern)
_PLAIN = (str, int, float, bytes, bool, type(None), UUID)
_ISO = (date, time, timedelta)
_INT64 = range(-(2**63), 2**63)


class _DecimalDecoder(TypeDecoder):
    bson_type = Decimal128

    def transform_bson(self, value: Decimal128) -> decimal.Decimal:
        return value.to_decimal()


CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    uuid_representation=UuidRepresentation.STANDARD,
    type_registry=TypeRegistry([_DecimalDecoder()]),
)
"""How typed collections read what the server sends."""


def as_bson(value: Any, place: str = "$", *, is_from_model: bool = False) -> Any:
    """Return `value` in types that the driver takes.

    Raises:
        InvalidDocumentError: It, or something inside it, has no BSON form; `field` is the place.
    """
    if isinstance(value, _NATIVE):
        return value
    if isinstance(value, Enum):
        return as_bson(value.value, place)
    if isinstance(value, _PLAIN):
        return _checked_int(value, place) if isinstance(value, int) else value
    if isinstance(value, datetime):
        return _as_date(value, place)
    if isinstance(value, decimal.Decimal):
        return _as_decimal(value, place)
    if isinstance(value, _ISO):
        return msgspec.to_builtins(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [as_bson(v, f"{place}[{n}]", is_from_model=is_from_model) for n, v in enumerate(value)]
    return _as_document(value, place, is_from_model=is_from_model)


def as_read(value: Any) -> Any:
    """Return what `as_bson` gave in the types that reading it with `CODEC` gives."""
    if isinstance(value, dict):
        return {key: as_read(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_read(inner) for inner in value]
    return value.to_decimal() if isinstance(value, Decimal128) else value


def _as_document(value: Any, place: str, *, is_from_model: bool) -> Any:
    write: Callable[[Any, str], Any] = lambda v, p: as_bson(v, p, is_from_model=is_from_model)  # noqa: E731
    if isinstance(value, Mapping):
        return {name: write(v, f"{place}.{name}") for name, v in ((_as_key(k, place), v) for k, v in value.items())}
    if isinstance(value, msgspec.Struct):
        return _as_struct(value, place)
    if is_model(type(value)):
        return as_bson(value.model_dump(mode="python", by_alias=True, round_trip=True), place, is_from_model=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _as_fields(((field.name, getattr(value, field.name)) for field in dataclasses.fields(value)), place)
    if hasattr(value, "get_secret_value"):
        raise _refusal("a secret; store its hash, or a reference to it", place)
    if is_from_model and "pydantic_core" in sys.modules:  # a URL, a path: what pydantic itself would write
        return as_bson(sys.modules["pydantic_core"].to_jsonable_python(value), place)
    raise _refusal(f"a value of type {type(value).__name__}", place)


def _as_struct(value: msgspec.Struct, place: str) -> Any:
    names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    document = _as_fields(((key, getattr(value, name)) for key, name in names), place)
    config = value.__struct_config__
    if config.tag is not None and config.tag_field is not None:
        document = {config.tag_field: config.tag, **document}
    return list(document.values()) if config.array_like else document


def _as_fields(fields: Iterable[tuple[str, Any]], place: str) -> dict[str, Any]:
    return {key: as_bson(value, f"{place}.{key}") for key, value in fields if value is not msgspec.UNSET}


def _as_key(key: Any, place: str) -> str:
    if isinstance(key, str):
        return key.value if isinstance(key, Enum) else key
    if isinstance(key, Enum | int | UUID | date):
        return str(msgspec.to_builtins(key))
    raise _refusal(f"a key of type {type(key).__name__}", place)


def _as_date(value: datetime, place: str) -> datetime:
    if value.tzinfo is None:
        raise _refusal("a datetime without a time zone", place, hint="write datetime.now(UTC), or give it a tzinfo")
    utc = value.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def _as_decimal(value: decimal.Decimal, place: str) -> Decimal128:
    try:
        return Decimal128(value)
    except decimal.DecimalException as exc:
        raise _refusal("a decimal of more than 34 digits, or too large", place) from exc


def _checked_int(value: int, place: str) -> int:
    if value not in _INT64:
        raise _refusal("a whole number of more than 64 bits", place)
    return value


def _refusal(problem: str, place: str, *, hint: str | None = None) -> InvalidDocumentError:
    return InvalidDocumentError(
        f"MongoDB cannot store {problem} - at `{place}`", field=place.removeprefix("$."), hint=hint
    )
