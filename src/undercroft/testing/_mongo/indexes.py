"""createIndexes, listIndexes, dropIndexes, and which unique index a document violates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mongomock

from undercroft.testing._mongo.errors import Code, CommandFailed, refuse
from undercroft.testing._mongo.store import Command, Document, Reply, Store, namespace_of

_OPTIONS = ("unique", "sparse", "expireAfterSeconds", "partialFilterExpression")


def create_indexes(store: Store, command: Command) -> Reply:
    """Create what is not there yet, all or nothing; what is there as it is asked for is left alone."""
    collection = store.collection(command)
    is_new_collection = store.create_if_new(collection)
    before = collection.index_information()
    wanted = [spec for spec in command["indexes"] if not _exists(before, spec)]
    for spec in wanted:
        _create(collection, spec)
    return {
        "numIndexesBefore": len(before),
        "numIndexesAfter": len(before) + len(wanted),
        "createdCollectionAutomatically": is_new_collection,
        "ok": 1.0,
    }


def list_indexes(store: Store, command: Command) -> Reply:
    """Answer with every index, that on `_id` first."""
    collection = store.collection(command)
    if not store.has_collection(collection):
        raise CommandFailed(Code.NamespaceNotFound, f"ns does not exist: {namespace_of(collection)}")
    documents = [
        {"v": 2, "key": dict(index["key"]), "name": name} | {key: index[key] for key in _OPTIONS if key in index}
        for name, index in collection.index_information().items()
    ]
    batch_size = (command.get("cursor") or {}).get("batchSize")
    return store.open_cursor(namespace_of(collection), documents, batch_size=batch_size, is_single=False)


def drop_indexes(store: Store, command: Command) -> Reply:
    """Drop indexes by name, by their keys, or with `*` all but that on `_id`."""
    collection = store.collection(command)
    if not store.has_collection(collection):
        raise CommandFailed(Code.NamespaceNotFound, f"ns not found {namespace_of(collection)}")
    known = collection.index_information()
    for name in _names_to_drop(known, command["index"]):
        collection.drop_index(name)
    return {"nIndexesWas": len(known), "ok": 1.0}


def duplicate_key(collection: Any, document: Document, *, is_new: bool) -> CommandFailed:
    """Return the error for a document that mongomock refused, with the index that it violates."""
    for name, index in collection.index_information().items():
        keys = dict(index["key"])
        values = {field: _value_at(document, field) for field in keys}
        others = {} if is_new else {"_id": {"$ne": document["_id"]}}
        is_unique = is_new if name == "_id_" else index.get("unique")
        if is_unique and collection.find_one({**values, **others}) is not None:
            return _e11000(collection, name, keys, values)
    return _e11000(collection, "?", {}, {})


def _e11000(collection: Any, name: str, keys: dict[str, Any], values: dict[str, Any]) -> CommandFailed:
    shown = ", ".join(f"{field}: {value!r}" for field, value in values.items())
    text = f"E11000 duplicate key error collection: {namespace_of(collection)} index: {name} dup key: {{ {shown} }}"
    return CommandFailed(Code.DuplicateKey, text, keyPattern=keys, keyValue=values)


def _exists(known: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """Tell whether this very index is there.

    Raises:
        CommandFailed: One with its name, or with its keys, is there and is another.
    """
    for name, index in known.items():
        is_same_name, has_same_keys = name == spec["name"], list(spec["key"].items()) == list(index["key"])
        has_same_options = all((spec.get(key) or None) == (index.get(key) or None) for key in _OPTIONS)
        if is_same_name and has_same_keys and (has_same_options or name == "_id_"):
            return True
        if is_same_name:
            raise CommandFailed(
                Code.IndexKeySpecsConflict, f"An existing index has the same name as the requested index: {name}"
            )
        if has_same_keys:
            raise CommandFailed(Code.IndexOptionsConflict, f"Index already exists with a different name: {name}")
    return False


def _create(collection: Any, spec: Mapping[str, Any]) -> None:
    refuse(spec, "collation", "wildcardProjection", "weights")
    options = {key: spec[key] for key in _OPTIONS if spec.get(key) is not None}
    try:
        collection.create_index(list(spec["key"].items()), name=spec["name"], **options)
    except mongomock.DuplicateKeyError:
        raise _e11000(collection, spec["name"], dict(spec["key"]), {}) from None


def _names_to_drop(known: Mapping[str, Any], wanted: Any) -> list[str]:
    if wanted == "*":
        return [name for name in known if name != "_id_"]
    if isinstance(wanted, Mapping):
        names = [name for name, index in known.items() if list(index["key"]) == list(wanted.items())]
    else:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
    if "_id_" in names:
        raise CommandFailed(Code.InvalidOptions, "cannot drop _id index")
    if not names or any(name not in known for name in names):
        raise CommandFailed(Code.IndexNotFound, f"index not found with name [{wanted}]")
    return names


def _value_at(document: Document, path: str) -> Any:
    value: Any = document
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
