"""Indexes as values: what a collection declares, and what came of synchronising."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from undercroft._core.durations import Duration, to_seconds
from undercroft.connections.mongo._errors import CollectionDefinitionError, MongoUsageError

Key = str | tuple[str, int | str]
"""A field, ascending, or a field with `1`, `-1`, `"hashed"` or `"2dsphere"`. `id` means `_id`."""

_DIRECTIONS = (1, -1)
_KINDS = ("hashed", "2dsphere")


def as_keys(keys: Iterable[Key], *, kinds: Sequence[str] = ()) -> tuple[tuple[str, int | str], ...]:
    """Return fields with their directions.

    Raises:
        MongoUsageError: One is neither a field nor a field with a direction.
    """
    return tuple(_as_key(key, kinds) for key in keys)


def as_sort(sort: Key | Sequence[Key] | None) -> list[tuple[str, int]]:
    """Return a sort as the driver takes it: `"name"`, `("created_at", -1)`, or several of them.

    Raises:
        MongoUsageError: It is something else.
    """
    if sort is None:
        return []
    is_many = isinstance(sort, list) or (isinstance(sort, tuple) and (len(sort) != 2 or sort[1] not in _DIRECTIONS))
    keys = as_keys(sort if is_many else [sort])  # type: ignore[arg-type,list-item]  # a pair is a sequence, too
    return [(field, int(direction)) for field, direction in keys]


@dataclass(frozen=True, slots=True, init=False)
class Index:
    """An index that a collection should have.

    Index("user_id", ("created_at", -1))
    Index("email", unique=True, partial_filter={"email": {"$type": "string"}})
    Index("created_at", expire_after="30d")
    """

    keys: tuple[tuple[str, int | str], ...]
    name: str
    unique: bool
    sparse: bool
    expire_after_s: int | None
    partial_filter: Mapping[str, Any] | None

    def __init__(
        self,
        *keys: Key,
        name: str | None = None,
        unique: bool = False,
        sparse: bool = False,
        expire_after: Duration | None = None,
        partial_filter: Mapping[str, Any] | None = None,
    ) -> None:
        """Declare an index; see `Key` for its fields.

        Args:
            name: `user_id_1_created_at_-1` and the like by default, as MongoDB's own.
            sparse: Leave out documents that lack the field.
            expire_after: The server removes a document this long after the date in the only field; whole seconds.
            partial_filter: Only documents that match this are in the index.

        Raises:
            CollectionDefinitionError: No keys, an unknown direction, or an expiry of several fields.
        """
        try:
            pairs = as_keys(keys, kinds=_KINDS)
        except MongoUsageError as exc:
            raise CollectionDefinitionError(exc.message, hint=exc.hint) from None
        if not pairs:
            raise CollectionDefinitionError("an index needs a field", hint='Index("user_id", ("created_at", -1))')
        values = {
            "keys": pairs,
            "name": name or "_".join(f"{field}_{direction}" for field, direction in pairs),
            "unique": unique,
            "sparse": sparse,
            "expire_after_s": _whole_seconds(expire_after, pairs),
            "partial_filter": partial_filter,
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def as_command(self) -> dict[str, Any]:
        """Return the index as createIndexes takes it."""
        optional = {
            "unique": self.unique or None,
            "sparse": self.sparse or None,
            "expireAfterSeconds": self.expire_after_s,
            "partialFilterExpression": self.partial_filter,
        }
        chosen = {key: value for key, value in optional.items() if value is not None}
        return {"key": dict(self.keys), "name": self.name, **chosen}


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPlace:
    """One index of one collection."""

    collection: str
    name: str

    def __str__(self) -> str:
        return f"{self.collection}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexConflict:
    """A declared index that was not created, and why."""

    collection: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.collection}.{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What `sync_indexes` did, or with `dry_run` would do. The index on `_id` is never in it."""

    created: tuple[IndexPlace, ...] = ()
    dropped: tuple[IndexPlace, ...] = ()
    unchanged: tuple[IndexPlace, ...] = ()
    """Declared, and there already; also when another process created it meanwhile."""
    unknown: tuple[IndexPlace, ...] = ()
    """There, not declared, and left alone."""
    conflicts: tuple[IndexConflict, ...] = ()
    """Declared and not created: look at them, nothing else will."""


def _as_key(key: Any, kinds: Sequence[str]) -> tuple[str, int | str]:
    field, direction = key if isinstance(key, tuple) and len(key) == 2 else (key, 1)
    is_direction = direction in (_DIRECTIONS if type(direction) is int else kinds)
    if not isinstance(field, str) or not field or field.startswith("$") or not is_direction:
        raise MongoUsageError(
            f"{key!r} is not a field, or a field with a direction",
            hint=f'write "name" or ("name", -1); directions: {", ".join(map(repr, (*_DIRECTIONS, *kinds)))}',
        )
    return "_id" if field == "id" else field, direction


def _whole_seconds(expire_after: Duration | None, keys: Sequence[tuple[str, int | str]]) -> int | None:
    if expire_after is None:
        return None
    seconds = to_seconds(expire_after, name="expire_after")
    if len(keys) > 1 or seconds != int(seconds):
        raise CollectionDefinitionError(
            "expire_after needs an index of one field, and whole seconds",
            hint='Index("created_at", expire_after="30d")',
        )
    return int(seconds)
