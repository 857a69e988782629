"""insert, update, delete, findAndModify.

A change is computed on a copy of the document and stored in one step, so that one which fails halfway leaves nothing
behind; mongomock alone would change documents in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import mongomock
from pymongo.errors import WriteError

from undercroft.testing._mongo.errors import Code, CommandFailed, refuse
from undercroft.testing._mongo.indexes import duplicate_key
from undercroft.testing._mongo.store import Command, Document, Reply, Store, scratch_collection

R = TypeVar("R")
Update = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def insert(store: Store, command: Command) -> Reply:
    """Insert documents, up to the first that fails, or all that can be with `ordered: false`."""
    collection = store.collection(command)
    store.create_if_new(collection)
    inserted, errors = _each(command, "documents", lambda document: _insert_one(collection, document))
    return _write_reply({"n": len(inserted)}, errors)


def update(store: Store, command: Command) -> Reply:
    """Run updates: operators, replacements, or pipelines as far as mongomock has them."""
    refuse(command, "let")
    collection = store.collection(command)
    results, errors = _each(command, "updates", lambda one: _update(collection, one))
    upserted = [{"index": index, "_id": id_} for index, (_, _, ids) in results for id_ in ids]
    matched = sum(count for _, (count, _, _) in results) + len(upserted)
    reply: Reply = {"n": matched, "nModified": sum(changed for _, (_, changed, _) in results)}
    return _write_reply(reply | ({"upserted": upserted} if upserted else {}), errors)


def delete(store: Store, command: Command) -> Reply:
    """Delete the first match (`limit: 1`) or all (`limit: 0`) of each filter."""
    refuse(command, "let")
    collection = store.collection(command)
    results, errors = _each(command, "deletes", lambda one: _delete(collection, one))
    return _write_reply({"n": sum(count for _, count in results)}, errors)


def find_and_modify(store: Store, command: Command) -> Reply:
    """Change or remove the first match, and answer with it as it was, or with `new` as it is."""
    refuse(command, "collation", "arrayFilters", "let")
    collection, query = store.collection(command), command.get("query") or {}
    found = _first(collection, query, command.get("sort"))
    if command.get("remove"):
        if found is not None:
            collection.delete_one({"_id": found["_id"]})
        return _modified(found, command, n=int(found is not None))
    if found is None and not command.get("upsert"):
        return _modified(None, command, n=0, updatedExisting=False)
    if found is None:
        inserted = _upsert(collection, query, command["update"])
        value = inserted if command.get("new") else None
        return _modified(value, command, n=1, updatedExisting=False, upserted=inserted["_id"])
    changed = _change(collection, query, found, command["update"])
    return _modified(changed if command.get("new") else found, command, n=1, updatedExisting=True)


def _insert_one(collection: Any, document: Document) -> None:
    try:
        collection.insert_one(document)
    except mongomock.DuplicateKeyError:
        raise duplicate_key(collection, document, is_new=True) from None


def _update(collection: Any, one: Mapping[str, Any]) -> tuple[int, int, list[Any]]:
    """Run one update; return how many documents matched, how many changed, and the ids of those upserted."""
    refuse(one, "collation", "arrayFilters", "sort")
    query, change = one["q"], one["u"]
    if one.get("multi") and not _has_operators(change):
        raise CommandFailed(Code.BadValue, "multi update is not supported for replacement-style update")
    found = list(collection.find(query)) if one.get("multi") else [_first(collection, query, None)]
    matched = [document for document in found if document is not None]
    if not matched and one.get("upsert"):
        return 0, 0, [_upsert(collection, query, change)["_id"]]
    changed = [_change(collection, query, document, change) != document for document in matched]
    return len(matched), sum(changed), []


def _change(collection: Any, query: Mapping[str, Any], document: Document, change: Update) -> Document:
    scratch = scratch_collection(document)
    try:
        _apply(scratch, {**query, "_id": document["_id"]}, change)
    except WriteError as exc:
        if "(immutable) field '_id'" in str(exc):
            raise CommandFailed(Code.ImmutableField, str(exc)) from None
        raise
    changed: Document = scratch.find_one()
    try:
        collection.replace_one({"_id": document["_id"]}, changed)
    except mongomock.DuplicateKeyError:
        raise duplicate_key(collection, changed, is_new=False) from None
    return changed


def _upsert(collection: Any, query: Mapping[str, Any], change: Update) -> Document:
    scratch = scratch_collection()
    _apply(scratch, query, change, upsert=True)
    document: Document = scratch.find_one()
    document = {"_id": document["_id"], **document}
    _insert_one(collection, document)
    return document


def _apply(collection: Any, query: Mapping[str, Any], change: Update, *, upsert: bool = False) -> None:
    run = collection.update_one if _has_operators(change) else collection.replace_one
    run(query, change, upsert=upsert)


def _has_operators(change: Update) -> bool:
    return not isinstance(change, Mapping) or next(iter(change), "").startswith("$")


def _delete(collection: Any, one: Mapping[str, Any]) -> int:
    refuse(one, "collation")
    if one.get("limit"):
        found = _first(collection, one["q"], None)
        return 0 if found is None else int(collection.delete_one({"_id": found["_id"]}).deleted_count)
    return int(collection.delete_many(one["q"]).deleted_count)


def _first(collection: Any, query: Mapping[str, Any], sort: Mapping[str, Any] | None) -> Document | None:
    found = collection.find(query)
    if sort:
        found = found.sort(list(sort.items()))
    return next(iter(found), None)


def _modified(document: Document | None, command: Command, **last: Any) -> Reply:
    if document is not None and command.get("fields"):
        document = scratch_collection(document).find_one({}, command["fields"])
    return {"lastErrorObject": last, "value": document, "ok": 1.0}


def _each(command: Command, key: str, write: Callable[[Any], R]) -> tuple[list[tuple[int, R]], list[dict[str, Any]]]:
    """Run `write` on each item; return the results with their indexes, and the entries of `writeErrors`."""
    done: list[tuple[int, R]] = []
    errors: list[dict[str, Any]] = []
    for index, item in enumerate(command[key]):
        try:
            done.append((index, write(item)))
        except CommandFailed as failure:
            errors.append(failure.as_write_error(index))
        except (WriteError, ValueError, TypeError) as exc:
            errors.append(CommandFailed(Code.BadValue, str(exc)).as_write_error(index))
        if errors and command.get("ordered", True):
            break
    return done, errors


def _write_reply(reply: Reply, errors: list[dict[str, Any]]) -> Reply:
    return {**reply, **({"writeErrors": errors} if errors else {}), "ok": 1.0}
