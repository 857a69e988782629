"""Make declared indexes exist. Safe for any number of processes at once: the server takes the same index twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pymongo

from undercroft.connections.mongo._collection import Source
from undercroft.connections.mongo._errors import CollectionDefinitionError, DuplicateKeyError, MongoRefusedError
from undercroft.connections.mongo._index import Index, IndexConflict, IndexPlace, IndexReport
from undercroft.logging import Logger

if TYPE_CHECKING:
    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.database import AsyncDatabase

_log = Logger(module="undercroft.connections.mongo")
_NO_COLLECTION, _NO_INDEX = 26, 27
_CLASHES = {67, 85, 86}  # CannotCreateIndex, IndexOptionsConflict, IndexKeySpecsConflict
_ON_ID = "_id_"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be done to one collection."""

    collection: str
    create: tuple[Index, ...] = ()
    drop: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    conflicts: tuple[IndexConflict, ...] = field(default=())


def declared_indexes(collections: Iterable[Any]) -> dict[str, dict[str, Index]]:
    """Return the indexes by the names of their collections, and by their own.

    Raises:
        CollectionDefinitionError: Two of one collection have the same name, or the same keys.
    """
    declared: dict[str, dict[str, Index]] = {}
    for collection in collections:
        indexes = declared.setdefault(collection.name, {})
        for index in collection.indexes:
            for other in indexes.values():
                if index != other and (index.name == other.name or index.keys == other.keys):
                    raise CollectionDefinitionError(
                        f"{collection.name!r} declares two indexes that clash: {other.name!r} and {index.name!r}"
                    )
            indexes[index.name] = index
    return declared


class IndexSync:
    """One run over one database."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], source: Source, *, timeout_s: float) -> None:
        self._database = database
        self._source = source
        self._timeout_s = timeout_s

    async def run(
        self, declared: Mapping[str, Mapping[str, Index]], *, drop_unknown: bool, dry_run: bool
    ) -> IndexReport:
        """Compare, and unless `dry_run` drop and create, one collection after the other."""
        plans = []
        for collection, indexes in declared.items():
            plan = _plan(collection, indexes, await self._existing(collection), drop_unknown=drop_unknown)
            plans.append(plan if dry_run else await self._carry_out(plan))
        return _report(plans)

    async def _existing(self, collection: str) -> dict[str, Mapping[str, Any]]:
        try:
            found = await self._source.run(_indexes_of(self._database[collection]))
        except MongoRefusedError as exc:
            if exc.server_code == _NO_COLLECTION:
                return {}
            raise
        return {index["name"]: index for index in found if index["name"] != _ON_ID}

    async def _carry_out(self, plan: _Plan) -> _Plan:
        """Return the plan as it came out."""
        dropped = [name for name in plan.drop if await self._drop(plan.collection, name)]
        created: list[Index] = []
        unchanged, conflicts = list(plan.unchanged), list(plan.conflicts)
        for index in plan.create:
            try:
                is_new = await self._create(plan.collection, index)
            except (DuplicateKeyError, MongoRefusedError) as exc:
                conflicts.append(IndexConflict(collection=plan.collection, name=index.name, reason=_reason(exc)))
                continue
            if is_new:
                created.append(index)
            else:
                unchanged.append(index.name)
        _tell(plan.collection, created, dropped, conflicts)
        return replace(
            plan,
            create=tuple(created),
            drop=tuple(dropped),
            unchanged=tuple(unchanged),
            conflicts=tuple(conflicts),
        )

    async def _create(self, collection: str, index: Index) -> bool:
        """Create an index; return whether it was not there."""
        command = {"createIndexes": collection, "indexes": [index.as_command()]}
        with pymongo.timeout(self._timeout_s):
            reply = await self._source.run(self._database.command(command), writes=True)
        return bool(reply.get("numIndexesBefore") != reply.get("numIndexesAfter"))

    async def _drop(self, collection: str, name: str) -> bool:
        """Drop an index; return whether it was there."""
        try:
            await self._source.run(self._database[collection].drop_index(name), writes=True)
        except MongoRefusedError as exc:
            if exc.server_code in (_NO_COLLECTION, _NO_INDEX):  # another process was faster
                return False
            raise
        return True


async def _indexes_of(collection: AsyncCollection[dict[str, Any]]) -> list[Mapping[str, Any]]:
    return [index async for index in await collection.list_indexes()]


def _plan(
    collection: str, declared: Mapping[str, Index], existing: Mapping[str, Mapping[str, Any]], *, drop_unknown: bool
) -> _Plan:
    unchanged = [name for name, index in declared.items() if name in existing and _is_same(index, existing[name])]
    missing = [index for name, index in declared.items() if name not in unchanged]
    others = {name: found for name, found in existing.items() if name not in unchanged}
    if drop_unknown:
        return _Plan(collection=collection, create=tuple(missing), drop=tuple(others), unchanged=tuple(unchanged))
    conflicts = [conflict for index in missing if (conflict := _conflict(collection, index, others)) is not None]
    clashing = {conflict.name for conflict in conflicts}
    return _Plan(
        collection=collection,
        create=tuple(index for index in missing if index.name not in clashing),
        unchanged=tuple(unchanged),
        unknown=tuple(name for name in others if name not in declared),
        conflicts=tuple(conflicts),
    )


def _conflict(collection: str, index: Index, others: Mapping[str, Mapping[str, Any]]) -> IndexConflict | None:
    for name, found in others.items():
        if name == index.name:
            reason = "an index of this name is there, with other keys or options"
        elif _keys_of(found) == index.keys:
            reason = f"an index on these keys is there, under the name {name!r}"
        else:
            continue
        return IndexConflict(collection=collection, name=index.name, reason=reason)
    return None


def _is_same(index: Index, found: Mapping[str, Any]) -> bool:
    return _keys_of(found) == index.keys and (
        bool(found.get("unique")),
        bool(found.get("sparse")),
        found.get("expireAfterSeconds"),
        found.get("partialFilterExpression"),
    ) == (index.unique, index.sparse, index.expire_after_s, index.partial_filter)


def _keys_of(found: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(found["key"].items())


def _reason(exc: MongoRefusedError) -> str:
    if isinstance(exc, DuplicateKeyError):
        return "it is unique, and there are documents with the same key"
    if exc.server_code in _CLASHES:
        return exc.message
    raise exc


def _tell(
    collection: str, created: Sequence[Index], dropped: Sequence[str], conflicts: Sequence[IndexConflict]
) -> None:
    for index in created:
        _log.info("index created", collection=collection, index=index.name)
    for name in dropped:
        _log.info("index dropped", collection=collection, index=name)
    for conflict in conflicts:
        _log.warning("index not created", collection=collection, index=conflict.name, reason=conflict.reason)


def _report(plans: Sequence[_Plan]) -> IndexReport:
    def places(attribute: str) -> tuple[IndexPlace, ...]:
        return tuple(
            IndexPlace(collection=plan.collection, name=getattr(index, "name", index))
            for plan in plans
            for index in getattr(plan, attribute)
        )

    return IndexReport(
        created=places("create"),
        dropped=places("drop"),
        unchanged=places("unchanged"),
        unknown=places("unknown"),
        conflicts=tuple(conflict for plan in plans for conflict in plan.conflicts),
    )
