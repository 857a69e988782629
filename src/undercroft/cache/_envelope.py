"""How values are stored: one JSON array, which is read in one pass.

    [1, 3, 1750000000.25, 300.0, 0.31, {"users": "8f…"}, {"name": "Ada"}]

`[format, version, written_at, fresh_for_s, cost_s, tags, data]`: the format of this array; the version of the data's
schema, which its owner counts up; when it was written, by the store's clock, epoch seconds; for how many seconds from
then it is fresh, or null for ever; how many seconds it took to compute, or null; its tags with the versions that they
had before, or null; and the value. What cannot be read, for whatever reason, is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, Literal, Optional, TypeVar, cast

import msgspec

from undercroft._core.codec import Schema
from undercroft._core.errors import InvalidDataError
from undercroft._core.models import load_model
from undercroft.cache._errors import CacheOptionError, CacheValueError

T = TypeVar("T")
FORMAT = 1
# What msgspec and pydantic raise for what does not fit.
MISFITS = (msgspec.MsgspecError, ValueError, TypeError, NotImplementedError, RecursionError)
Misfit = Literal["damaged", "version", "type"]


class Envelope(msgspec.Struct, Generic[T], array_like=True, frozen=True, gc=False):
    """A value and what is known of it."""

    format: int
    version: int
    written_at: float
    fresh_for_s: float | None
    cost_s: float | None
    tags: dict[str, str | None] | None
    data: T

    def has_versions(self, tags: Mapping[str, str | None]) -> bool:
        """Tell whether its tags have the versions that they have now."""
        return self.tags is None or all(tags.get(tag) == version for tag, version in self.tags.items())


class Codec(Generic[T]):
    """Writes and reads the values of one type in one version. Immutable; made once for each type.

    Args:
        type_: What values are; `Any` for whatever JSON has.

    Raises:
        SchemaError: The type has no JSON form that can be read back.
    """

    def __init__(self, type_: Any, *, version: int = 1) -> None:
        self.version = _checked_version(version)
        self._is_any = type_ is Any
        # None is always possible: the answer that there is nothing may be worth keeping.
        held: Any = Any if self._is_any else Optional[type_]  # noqa: UP045 - not every type has an "|"
        self._schema: Schema[Any] = Schema(held, what=_name_of(type_))
        envelope: Any = Envelope[held]
        self.identity: Hashable = (str(type_), type_ if isinstance(type_, type) else id(self), version)
        """The same for two codecs that read each other's values."""
        self.decode: Callable[[bytes], Envelope[T]] = msgspec.json.Decoder(envelope, dec_hook=load_model).decode

    def encode(self, value: T, *, what: str) -> tuple[bytes, T]:
        """Return a value as JSON, and as whoever reads it will get it.

        Raises:
            CacheValueError: It has no JSON form, is not of the type, or would come back as something else.
        """
        try:
            data = self._schema.encode(value)
            back = self._schema.decode(data)
        except InvalidDataError as exc:
            raise CacheValueError(f"{what}: {exc.message.removeprefix('Any: ')}", hint=exc.hint) from exc
        if self._is_any and back != value:
            raise CacheValueError(
                f"{what}: {type(value).__name__}, or something in it, has no JSON form of its own, and would come back "
                "as something else",
                hint="say of which type the values are: cache.of(User), cache.of(list[date], namespace=…), or "
                "the return annotation of a @cached function",
            )
        return data, cast("T", back)

    def value(self, data: bytes) -> T:
        """Return the value of JSON that `encode` gave."""
        return cast("T", self._schema.decode(data))

    def open(self, stored: bytes | None) -> Envelope[T] | Misfit | Literal["absent"]:
        """Return the envelope that is stored, or why it is of no use."""
        if stored is None:
            return "absent"
        try:
            envelope = self.decode(stored)
        except MISFITS:
            return self.misfit(stored)
        return envelope if envelope.format == FORMAT and envelope.version == self.version else "version"

    def misfit(self, data: bytes) -> Misfit:
        """Say why `decode` refuses this."""
        try:
            head = _any_envelope.decode(data)
        except MISFITS:
            return "damaged"
        if head.format != FORMAT or head.version != self.version:
            return "version"
        return "type"

    def wrap(
        self,
        data: bytes,
        *,
        written_at: float,
        fresh_for_s: float | None,
        cost_s: float | None = None,
        tags: Mapping[str, str | None] | None = None,
    ) -> bytes:
        """Return the envelope around a value's JSON."""
        return msgspec.json.encode(
            Envelope(
                FORMAT, self.version, written_at, fresh_for_s, cost_s, dict(tags) if tags else None, msgspec.Raw(data)
            )
        )


_any_envelope = msgspec.json.Decoder(Envelope[msgspec.Raw])


def rewrap(stored: bytes, *, written_at: float, fresh_for_s: float | None) -> bytes:
    """Return a stored envelope with another beginning and end of its freshness."""
    envelope = _any_envelope.decode(stored)
    return msgspec.json.encode(msgspec.structs.replace(envelope, written_at=written_at, fresh_for_s=fresh_for_s))


def _checked_version(version: object) -> int:
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        raise CacheOptionError(f"version={version!r} is not a version", hint="count it up from 1")
    return version


def _name_of(type_: Any) -> str:
    return getattr(type_, "__name__", None) or str(type_)
